// Every codec with CUDA kernels on a device: its bytes are the scalar reference's, for `--blocks` random blocks of each codec
// over several shapes, layouts, types and stages before the quantiser; damaged tiles decode, or are refused, as the reference
// has it; the row copies between layouts; and whole payloads (`--frames` random cases) as the same bodies make them on the host.
//
//   gpu_codec_check [--blocks N] [--seed S] [--codec ID] [--shard K --shards N] [--frames N]
//
// The scalar reference takes most of the time: shard K of N, from 0, checks every N-th codec, so that several may run at once; the
// first one checks copies and payloads too.
// Prints one line per codec; exit status 1 at the first difference, 77 where there is no device.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "tests/gpu/copy_check.h"
#include "tests/gpu/frame_check.h"
#include "tests/gpu/gpu_machine.h"
#include "tests/gpu/host_machine.h"
#include "tests/gpu/tile_check.h"

namespace larder {
namespace {

constexpr uint32_t kHeadDims[] = {64, 80, 96, 128, 256, 576};
constexpr uint32_t kTokens[] = {1, 16, 33, 64, 130};

struct Options {
  uint64_t blocks = 10'000;  // of each codec
  uint64_t seed = 1;
  int codec = -1;  // only this CodecId
  uint64_t shard = 0;
  uint64_t shards = 1;
  uint64_t frames = 300;
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--blocks") == 0) {
      options.blocks = value;
    } else if (std::strcmp(argv[i], "--seed") == 0) {
      options.seed = value;
    } else if (std::strcmp(argv[i], "--codec") == 0) {
      options.codec = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--shard") == 0) {
      options.shard = value;
    } else if (std::strcmp(argv[i], "--shards") == 0) {
      options.shards = value == 0 ? 1 : value;
    } else if (std::strcmp(argv[i], "--frames") == 0) {
      options.frames = value;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      std::exit(2);
    }
  }
  return options;
}

// Whether the reference multiplies every row by a matrix.
bool IsDense(const StreamCodec& codec) {
  return codec.id == CodecId::kTurboProd || codec.id == CodecId::kQjl ||
         (codec.params.transform & kTransformHaar) != 0;
}

// Shapes small and many, so that the scalar reference keeps up.
TileCase RandomCase(const StreamCodec& codec, std::mt19937_64& random) {
  const auto choose = [&](uint64_t count) { return static_cast<uint32_t>(random() % count); };
  TileCase tile_case;
  tile_case.shape = {kTokens[choose(std::size(kTokens))], kHeadDims[choose(std::size(kHeadDims))]};
  if (IsDense(codec)) tile_case.shape = {1 + choose(20), kHeadDims[choose(4)]};
  const uint8_t transform = choose(2) == 0 ? 0 : static_cast<uint8_t>(choose(kDeviceStages + 1));
  tile_case.codec =
      WithStages(codec, transform, static_cast<uint8_t>(1 + choose(2)), tile_case.shape.head_dim);
  tile_case.dtype = choose(2) == 0 ? Dtype::kBf16 : Dtype::kFp16;
  tile_case.hnd = choose(2) == 0;
  tile_case.page_tokens = choose(3) == 0 ? 16 : 0;
  tile_case.streams = 1;
  tile_case.heads = 1 + choose(2);
  tile_case.blocks = 64;
  tile_case.outliers = choose(5);
  tile_case.scale = choose(4) == 0 ? 0.01f : 1.0f;
  tile_case.seed = random();
  tile_case.token_begin = choose(100'000);
  return tile_case;
}

bool CheckCodec(GpuMachine& machine, const StreamCodec& codec, const Options& options) {
  std::mt19937_64 random(options.seed);
  uint64_t blocks = 0, shapes = 0, tries = 0;
  while (blocks < options.blocks) {
    const TileCase tile_case = RandomCase(codec, random);
    std::string fault = CheckTileCase(machine, tile_case);
    if (fault.empty() && tries % 4 == 0) fault = CheckDamage(machine, tile_case, /*faults=*/2);
    if (++tries > 1'000'000) return false;  // every shape is refused: nothing would be tested
    if (fault == "skip") continue;
    if (!fault.empty()) {
      std::printf("FAILED: %s\n", fault.c_str());
      return false;
    }
    blocks += tile_case.blocks;
    ++shapes;
  }
  std::printf("codec %2d variant %d bits %d group %4d: %llu blocks, %llu cases, all bytes equal\n",
              static_cast<int>(codec.id), codec.params.variant, codec.params.bits,
              codec.params.group, static_cast<unsigned long long>(blocks),
              static_cast<unsigned long long>(shapes));
  return true;
}

// Whole payloads of any plan and shape; false at the first difference.
bool CheckPayloads(GpuMachine& machine, const Options& options) {
  HostMachine host;
  uint64_t cases = 0;
  for (uint64_t i = 0; i < options.frames; ++i) {
    const std::string fault = CheckFrames(machine, host, options.seed * 1'000'003 + i);
    if (fault == "skip") continue;
    if (!fault.empty()) {
      std::printf("FAILED: %s\n", fault.c_str());
      return false;
    }
    ++cases;
  }
  std::printf("payloads of plans: %llu cases, all bytes equal\n",
              static_cast<unsigned long long>(cases));
  return cases > 0 || options.frames == 0;
}

}  // namespace
}  // namespace larder

int main(int argc, char** argv) {
  const larder::Options options = larder::Parse(argc, argv);
  larder::RequireDevice("gpu_codec_check");
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
  larder::GpuMachine machine;
  int failed = 0, checked = 0;
  uint64_t index = 0;
  for (const larder::StreamCodec& codec : larder::DeviceCodecs()) {
    if (index++ % options.shards != options.shard) continue;
    if (options.codec >= 0 && static_cast<int>(codec.id) != options.codec) continue;
    failed += larder::CheckCodec(machine, codec, options) ? 0 : 1;
    ++checked;
  }
  if (options.shard == 0) {
    const std::string fault = larder::CheckCopies(machine);
    std::printf("row copies between layouts: %s\n",
                fault.empty() ? "all bytes equal" : fault.c_str());
    failed += fault.empty() ? 0 : 1;
    failed += larder::CheckPayloads(machine, options) ? 0 : 1;
  }
  std::printf("%d codecs checked, %d failures\n", checked, failed);
  return failed == 0 && checked > 0 ? 0 : 1;
}
