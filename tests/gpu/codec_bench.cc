// Speed of the CUDA codecs beside what the device's memory allows.
//
//   gpu_codec_bench [--blocks N] [--repeat N]
//
// Blocks of 256 tokens, 8 layers of keys and values, 8 heads of 128 channels in bf16, NHD: N of them at once, more than the L2
// cache holds. A codec is timed with device events, the median of `--repeat` launches after a warm-up. GB/s counts the
// bytes that must move between device memory and the chip: raw rows once and tiles once. "of copy" is that over the rate of
// a device-to-device copy, read and written bytes counted. Exit status 77 where there is no device.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/gpu/gpu_machine.h"
#include "tests/gpu/tile_check.h"

namespace larder {
namespace {

struct Options {
  uint32_t blocks = 16;
  int repeat = 15;
};

// Median of the seconds that `work` takes on the stream.
double SecondsOf(GpuMachine& machine, int repeat, const std::function<void()>& work) {
  cudaEvent_t begin, end;
  MustSucceed(cudaEventCreate(&begin), "cudaEventCreate");
  MustSucceed(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times;
  for (int i = 0; i < repeat + 3; ++i) {
    MustSucceed(cudaEventRecord(begin, machine.stream()), "cudaEventRecord");
    work();
    MustSucceed(cudaEventRecord(end, machine.stream()), "cudaEventRecord");
    machine.Wait();
    float milliseconds = 0;
    MustSucceed(cudaEventElapsedTime(&milliseconds, begin, end), "cudaEventElapsedTime");
    if (i >= 3) times.push_back(milliseconds);  // the first ones load the module
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2] * 1e-3;
}

double CopyRate(GpuMachine& machine, const Options& options) {
  constexpr size_t kBytes = size_t{2} << 30;
  GpuMachine::Buffer from(kBytes), to(kBytes);
  MustSucceed(cudaMemset(from.get(), 0x5A, kBytes), "cudaMemset");
  const double seconds = SecondsOf(machine, options.repeat, [&] {
    MustSucceed(
        cudaMemcpyAsync(to.get(), from.get(), kBytes, cudaMemcpyDeviceToDevice, machine.stream()),
        "copy");
  });
  return 2.0 * kBytes / seconds;
}

struct Rates {
  double encode = 0, decode = 0;  // bytes that must move, per second
  double bits = 0;                // per element
};

// One stream of the plan; rows and tiles of all blocks.
Rates Measure(GpuMachine& machine, const Options& options, const StreamCodec& codec) {
  TileCase tile_case;
  tile_case.codec = codec;
  tile_case.shape = {256, 128};
  tile_case.streams = 8;
  tile_case.heads = 8;
  tile_case.blocks = options.blocks;
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, tile_case.token_begin);
  if (!setup.holds()) return {};
  auto image = machine.Put(setup.image());
  setup.Attach(image.get(), &run);
  RawBlocks raw(tile_case);
  raw.Fill();
  auto rows = machine.Put(raw.bytes());
  RunMemory memory(machine, setup, run);
  run.rows = raw.RowsAt(rows.get(), nullptr);
  // A codec whose size varies moves what it made.
  MustSucceed(EncodeTiles(run, machine.stream()), "EncodeTiles");
  memory.GetResults(machine);
  double tile_bytes = static_cast<double>(memory.tile_bytes);
  if (SizeVaries(run.id)) {
    tile_bytes = 0;
    for (const uint32_t size : memory.sizes) tile_bytes += size;
  }
  const double moved = static_cast<double>(raw.bytes().size()) + tile_bytes;
  Rates rates;
  rates.bits = 16.0 * tile_bytes / static_cast<double>(raw.bytes().size());
  rates.encode = moved / SecondsOf(machine, options.repeat, [&] {
                   MustSucceed(EncodeTiles(run, machine.stream()), "EncodeTiles");
                 });
  rates.decode = moved / SecondsOf(machine, options.repeat, [&] {
                   MustSucceed(DecodeTiles(run, machine.stream()), "DecodeTiles");
                 });
  return rates;
}

void PrintRow(const std::string& name, const Rates& rates, double copy) {
  std::printf("%-24s %6.3f  %8.0f %6.2f  %8.0f %6.2f\n", name.c_str(), rates.bits,
              rates.encode * 1e-9, rates.encode / copy, rates.decode * 1e-9, rates.decode / copy);
}

void Run(const Options& options) {
  GpuMachine machine;
  const double copy = CopyRate(machine, options);
  std::printf("device-to-device copy: %.0f GB/s, read and written bytes\n", copy * 1e-9);
  std::printf("%-24s %6s  %8s %6s  %8s %6s\n", "stream", "bits", "enc GB/s", "/copy", "dec GB/s",
              "/copy");
  const CodecParams rope = WithStages({}, kTransformUnrope, 1, 128).params;
  const auto add_rope = [&](StreamCodec codec) {
    if ((codec.params.transform & kTransformUnrope) == 0) return codec;
    codec.params.rope_pairing = rope.rope_pairing;
    codec.params.rope_rotary_dim = rope.rope_rotary_dim;
    codec.params.rope_theta = rope.rope_theta;
    return codec;
  };
  std::string why;
  for (const PresetRow& row : Presets()) {
    const auto plan = ParsePlan(row.name, &why);
    for (const bool key : {true, false}) {
      const Rates rates = Measure(machine, options, add_rope(key ? plan->key : plan->value));
      if (rates.bits == 0) continue;
      PrintRow(std::string(row.name) + (key ? " keys" : " values"), rates, copy);
    }
  }
  for (const FormatRow& row : Formats()) {
    const Rates rates = Measure(machine, options, row.key);
    if (rates.bits > 0) PrintRow(std::string(row.name), rates, copy);
  }
}

}  // namespace
}  // namespace larder

int main(int argc, char** argv) {
  larder::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const int value = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--blocks") == 0) options.blocks = static_cast<uint32_t>(value);
    if (std::strcmp(argv[i], "--repeat") == 0) options.repeat = value;
  }
  larder::RequireDevice("gpu_codec_bench");
  larder::Run(options);
  return 0;
}
