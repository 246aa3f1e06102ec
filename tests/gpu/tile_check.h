// Compares tile kernels with the scalar reference, byte for byte, on a machine: the host (host_machine.h) or a GPU
// (gpu_machine.h). No test framework, so that the check also builds where there is none.
//
// A machine has: Buffer (get(): its address there), Buffer Put(bytes), void Get(Buffer&, bytes), bool Encode(run), bool
// Decode(run).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/codec/device/run_setup.h"
#include "kernels/codec/registry.h"
#include "kernels/codec/stream_layout.h"
#include "kernels/codec/tile_codec.h"

namespace larder {

// The stages that kernels have: all but the dense rotation.
inline constexpr uint8_t kDeviceStages = kTransformUnrope | kTransformCentre | kTransformRotate;

// Blocks of random rows, all streams of one kind.
struct TileCase {
  StreamCodec codec;
  TileShape shape;
  Dtype dtype = Dtype::kBf16;
  uint32_t streams = 2;
  uint32_t heads = 2;
  uint32_t blocks = 1;
  bool hnd = false;          // [head][token] in a stream or page; else [token][head]
  uint32_t page_tokens = 0;  // not 0: rows stand in pages, in no order
  uint32_t outliers = 0;     // channels with a mean far from 0
  float scale = 1;           // of all values
  uint64_t seed = 1;
  uint64_t token_begin = 1000;
};

inline std::string NameOf(const TileCase& tile_case) {
  std::ostringstream name;
  const CodecParams& params = tile_case.codec.params;
  name << "codec " << static_cast<int>(tile_case.codec.id) << " variant " << int{params.variant}
       << " bits " << int{params.bits} << " group " << params.group << " transform "
       << int{params.transform} << " tokens " << tile_case.shape.tokens << " dim "
       << tile_case.shape.head_dim << (tile_case.hnd ? " HND" : " NHD") << " page "
       << tile_case.page_tokens << (tile_case.dtype == Dtype::kBf16 ? " bf16" : " fp16") << " seed "
       << tile_case.seed;
  return name.str();
}

// Raw blocks, [block][stream][rows of all heads], or an engine's pages, [stream][page][rows of all heads] with a page more than
// the blocks need.
struct RawBlocks {
  explicit RawBlocks(const TileCase& of) : tile_case(of) {
    const TileShape& shape = of.shape;
    row_bytes = int64_t{shape.head_dim} * 2;
    stream_bytes = row_bytes * shape.tokens * of.heads;
    block_bytes = stream_bytes * of.streams;
    if (of.page_tokens == 0) {
      elements.resize(static_cast<size_t>(block_bytes) * of.blocks / 2);
      return;
    }
    pages_per_block = (shape.tokens + of.page_tokens - 1) / of.page_tokens;
    pages.resize(size_t{pages_per_block} * of.blocks);
    page_bytes = row_bytes * of.page_tokens * of.heads;
    stream_bytes = page_bytes * static_cast<int64_t>(pages.size() + 1);
    block_bytes = 0;
    elements.resize(static_cast<size_t>(stream_bytes) * of.streams / 2);
    std::iota(pages.begin(), pages.end(), 1);
    std::shuffle(pages.begin(), pages.end(), std::mt19937_64(of.seed));
  }

  void Fill() {
    std::mt19937_64 random(tile_case.seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < elements.size(); ++i) {
      const float mean = i % tile_case.shape.head_dim < tile_case.outliers ? 12.0f : 0.0f;
      const float value = (normal(random) + mean) * tile_case.scale;
      elements[i] = tile_case.dtype == Dtype::kBf16 ? Bf16OfFloat(value) : Fp16OfFloat(value);
    }
  }
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(elements)); }
  int64_t head_stride() const {
    const uint32_t tokens = pages.empty() ? tile_case.shape.tokens : tile_case.page_tokens;
    return tile_case.hnd ? row_bytes * tokens : row_bytes;
  }
  int64_t token_stride() const { return tile_case.hnd ? row_bytes : row_bytes * tile_case.heads; }
  // `table` is the copy of `pages` on the machine.
  RunRows RowsAt(uint8_t* base, uint8_t* table) const {
    RunRows rows;
    rows.base = base;
    rows.block_stride = block_bytes;
    rows.stream_stride = stream_bytes;
    rows.head_stride = head_stride();
    rows.token_stride = token_stride();
    if (pages.empty()) return rows;
    rows.pages = reinterpret_cast<const int32_t*>(table);
    rows.pages_per_block = pages_per_block;
    rows.page_tokens = tile_case.page_tokens;
    rows.page_stride = page_bytes;
    return rows;
  }
  TargetRows Tile(uint32_t block, uint32_t stream, uint32_t head) {
    TargetRows rows;
    rows.base = bytes().data() + block * block_bytes + stream * stream_bytes + head * head_stride();
    rows.token_stride = token_stride();
    if (pages.empty()) return rows;
    rows.pages = pages.data() + size_t{block} * pages_per_block;
    rows.page_tokens = tile_case.page_tokens;
    rows.page_stride = page_bytes;
    return rows;
  }

  const TileCase& tile_case;
  int64_t row_bytes, stream_bytes, block_bytes, page_bytes = 0;
  uint32_t pages_per_block = 0;
  std::vector<int32_t> pages;
  std::vector<uint16_t> elements;
};

inline TileRun RunOf(const TileCase& tile_case) {
  TileRun run;
  run.id = tile_case.codec.id;
  run.params = tile_case.codec.params;
  run.dtype = tile_case.dtype;
  run.shape = tile_case.shape;
  run.layer_begin = 5;
  run.streams = tile_case.streams;
  run.heads = tile_case.heads;
  run.blocks = tile_case.blocks;
  return run;
}

inline RunTiles TilesAt(uint8_t* base, const TileRun& run) {
  RunTiles tiles;
  tiles.base = base;
  tiles.head_stride = (int64_t{run.tile_bytes} + 15) / 16 * 16;
  tiles.stream_stride = tiles.head_stride * run.heads;
  tiles.block_stride = tiles.stream_stride * run.streams;
  return tiles;
}

inline constexpr std::byte kUntouched{0xA5};

// Memory of a run on a machine besides rows and tables: tiles, flags, and for sizes that vary those and scratch.
template <typename Machine>
struct RunMemory {
  using Buffer = typename Machine::Buffer;
  RunMemory(Machine& machine, const RunSetup& setup, TileRun& run)
      : tile_bytes(static_cast<size_t>(TilesAt(nullptr, run).block_stride) * run.blocks),
        tiles(machine.Put(std::vector<std::byte>(tile_bytes, kUntouched))),
        refused(size_t{run.blocks} * run.streams, 7),
        flags(machine.Put(std::as_bytes(std::span(refused)))),
        sizes(size_t{run.blocks} * run.streams * run.heads),
        sizes_there(machine.Put(std::as_bytes(std::span(sizes)))),
        scratch(sizes.size() * setup.scratch_bytes()) {
    run.tiles = TilesAt(tiles.get(), run);
    run.refused = reinterpret_cast<uint32_t*>(flags.get());
    if (!SizeVaries(run.id)) return;
    run.sizes = reinterpret_cast<uint32_t*>(sizes_there.get());
    run.scratch = scratch.get();
  }
  void GetResults(Machine& machine) {
    machine.Get(flags, std::as_writable_bytes(std::span(refused)));
    machine.Get(sizes_there, std::as_writable_bytes(std::span(sizes)));
  }
  bool AnyRefused() const {
    return std::any_of(refused.begin(), refused.end(), [](uint32_t flag) { return flag != 0; });
  }

  size_t tile_bytes;
  Buffer tiles;
  std::vector<uint32_t> refused;
  Buffer flags;
  std::vector<uint32_t> sizes;
  Buffer sizes_there;
  Buffer scratch;
};

// The reference's tiles and what they decode to. The raw blocks must be ones that the codec can code.
struct Reference {
  Reference(const TileCase& of, const TileRun& of_run, RawBlocks& raw)
      : tile_case(of), run(of_run), decoded(of) {
    std::memset(decoded.bytes().data(), 0xA5, decoded.bytes().size());  // what no row covers
    const TileCodec& codec = *FindTileCodec(run.id);
    const RunTiles tiles = TilesAt(nullptr, run);
    encoded.resize(static_cast<size_t>(tiles.block_stride) * run.blocks, kUntouched);
    std::vector<std::byte> tile(tiles.head_stride);
    if ((run.params.transform & kTransformUnrope) != 0) {
      rope = std::make_unique<RopeTable>(run.params, tile_case.token_begin, run.shape.tokens);
    }
    for (uint32_t at = 0; at < run.blocks * run.streams * run.heads; ++at) {
      const uint32_t block = at / run.heads / run.streams, stream = at / run.heads % run.streams;
      const TargetRows rows = raw.Tile(block, stream, at % run.heads);
      const SourceRows source{rows.base,        rows.token_stride, rows.pages,
                              rows.page_tokens, rows.page_stride,  rows.first_token};
      const auto bytes = codec.Encode(ContextOf(stream), run.shape, source, workspace, tile.data());
      holds = bytes.has_value();
      if (!holds) return;
      std::memset(tile.data() + *bytes, 0, AlignTile(*bytes) - *bytes);
      std::memcpy(encoded.data() + at * tiles.head_stride, tile.data(), AlignTile(*bytes));
      sizes.push_back(static_cast<uint32_t>(*bytes));
    }
    std::vector<bool> each(size_t{run.blocks} * run.streams, true);
    Decode(decoded, each);
    holds = std::find(each.begin(), each.end(), false) == each.end();
  }

  // What `encoded` decodes to; a stream of a tile that is not well-formed becomes false.
  void Decode(RawBlocks& out, std::vector<bool>& streams) {
    const TileCodec& codec = *FindTileCodec(run.id);
    const RunTiles tiles = TilesAt(nullptr, run);
    for (uint32_t at = 0; at < sizes.size(); ++at) {
      const uint32_t block = at / run.heads / run.streams, stream = at / run.heads % run.streams;
      const std::byte* tile = encoded.data() + at * tiles.head_stride;
      if (sizes[at] > run.tile_bytes ||
          !codec.Decode(ContextOf(stream), run.shape, {tile, sizes[at]}, workspace,
                        out.Tile(block, stream, at % run.heads))) {
        streams[at / run.heads] = false;
      }
    }
  }

  TileContext ContextOf(uint32_t stream) const {
    TileContext context{run.params, run.dtype};
    context.layer = run.layer_begin + stream;
    context.rope = rope.get();
    context.isa = Isa::kScalar;
    return context;
  }

  const TileCase& tile_case;
  const TileRun& run;
  std::unique_ptr<RopeTable> rope;
  Workspace workspace;
  bool holds = true;
  std::vector<std::byte> encoded;  // kUntouched behind each tile and its zeros
  std::vector<uint32_t> sizes;     // [block][stream][head]
  RawBlocks decoded;
};

// "" when `got` is `want`, else where they differ first.
inline std::string DifferenceOf(std::span<const std::byte> want, std::span<const std::byte> got) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i] == got[i]) continue;
    std::ostringstream text;
    text << "byte " << i << " of " << want.size() << ": " << std::to_integer<int>(got[i])
         << ", the reference has " << std::to_integer<int>(want[i]);
    return text.str();
  }
  return "";
}

// The same for the rows of one tile.
inline std::string DifferenceOfRows(const TileCase& tile_case, const TargetRows& want,
                                    const TargetRows& got) {
  for (uint32_t token = 0; token < tile_case.shape.tokens; ++token) {
    const size_t bytes = size_t{tile_case.shape.head_dim} * 2;
    const std::string difference = DifferenceOf({want.Row(token), bytes}, {got.Row(token), bytes});
    if (!difference.empty()) return "token " + std::to_string(token) + ", " + difference;
  }
  return "";
}

// "" when the machine's encoder and decoder give the reference's bytes; "skip" when the codec does not take the shape.
template <typename Machine>
std::string CheckTileCase(Machine& machine, const TileCase& tile_case) {
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, tile_case.token_begin);
  if (!setup.holds()) return "skip";
  auto image = machine.Put(setup.image());
  setup.Attach(image.get(), &run);
  RawBlocks raw(tile_case);
  raw.Fill();
  const Reference reference(tile_case, run, raw);
  if (!reference.holds) return NameOf(tile_case) + ": the reference refuses the values";
  auto rows = machine.Put(raw.bytes());
  RunMemory memory(machine, setup, run);
  auto table = machine.Put(std::as_bytes(std::span(raw.pages)));
  run.rows = raw.RowsAt(rows.get(), table.get());
  if (!machine.Encode(run)) return NameOf(tile_case) + ": encoder not launched";
  std::vector<std::byte> got(memory.tile_bytes);
  machine.Get(memory.tiles, got);
  memory.GetResults(machine);
  if (memory.AnyRefused()) return NameOf(tile_case) + ": refused";
  if (SizeVaries(run.id) && memory.sizes != reference.sizes) {
    return NameOf(tile_case) + ": sizes differ";
  }
  std::string difference = DifferenceOf(reference.encoded, got);
  if (!difference.empty()) return NameOf(tile_case) + ": encoded " + difference;
  RawBlocks back(tile_case);
  std::memset(back.elements.data(), 0xA5, back.elements.size() * 2);
  auto target = machine.Put(back.bytes());
  run.rows = back.RowsAt(target.get(), table.get());
  if (!machine.Decode(run)) return NameOf(tile_case) + ": decoder not launched";
  memory.GetResults(machine);
  if (memory.AnyRefused()) return NameOf(tile_case) + ": decoder refused";
  machine.Get(target, back.bytes());
  difference = DifferenceOf(std::as_bytes(std::span(reference.decoded.elements)), back.bytes());
  return difference.empty() ? "" : NameOf(tile_case) + ": decoded " + difference;
}

// Damages each tile of a run by `faults` random bytes, or sizes where they vary; "" when the machine's decoder then says and
// writes what the reference does.
template <typename Machine>
std::string CheckDamage(Machine& machine, const TileCase& tile_case, uint32_t faults) {
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, tile_case.token_begin);
  if (!setup.holds()) return "skip";
  auto image = machine.Put(setup.image());
  setup.Attach(image.get(), &run);
  RawBlocks raw(tile_case);
  raw.Fill();
  Reference reference(tile_case, run, raw);
  if (!reference.holds) return NameOf(tile_case) + ": the reference refuses the values";
  std::mt19937_64 random(tile_case.seed);
  const RunTiles layout = TilesAt(nullptr, run);
  for (size_t at = 0; at < reference.sizes.size(); ++at) {
    std::byte* tile = reference.encoded.data() + at * layout.head_stride;
    for (uint32_t i = 0; i < faults; ++i) {
      tile[random() % reference.sizes[at]] ^= static_cast<std::byte>(1 + random() % 255);
    }
    if (SizeVaries(run.id) && random() % 4 == 0) {
      reference.sizes[at] = static_cast<uint32_t>(random() % (run.tile_bytes + 3));
    }
  }
  std::vector<bool> holds(size_t{run.blocks} * run.streams, true);
  RawBlocks want(tile_case);
  reference.Decode(want, holds);
  RunMemory memory(machine, setup, run);
  auto tiles = machine.Put(reference.encoded);
  auto sizes = machine.Put(std::as_bytes(std::span(reference.sizes)));
  run.tiles = TilesAt(tiles.get(), run);
  if (SizeVaries(run.id)) run.sizes = reinterpret_cast<uint32_t*>(sizes.get());
  RawBlocks back(tile_case);
  auto target = machine.Put(back.bytes());
  auto table = machine.Put(std::as_bytes(std::span(raw.pages)));
  run.rows = back.RowsAt(target.get(), table.get());
  if (!machine.Decode(run)) return NameOf(tile_case) + ": decoder not launched";
  memory.GetResults(machine);
  machine.Get(target, back.bytes());
  for (size_t i = 0; i < holds.size(); ++i) {
    if (SizeVaries(run.id) && holds[i] != (memory.refused[i] == 0)) {
      return NameOf(tile_case) + ": stream " + std::to_string(i) +
             (holds[i] ? " is refused" : " is not refused");
    }
    if (!holds[i]) continue;  // its rows mean nothing
    for (uint32_t head = 0; head < run.heads; ++head) {
      const auto block = static_cast<uint32_t>(i / run.streams);
      const auto stream = static_cast<uint32_t>(i % run.streams);
      const std::string difference = DifferenceOfRows(
          tile_case, want.Tile(block, stream, head), back.Tile(block, stream, head));
      if (!difference.empty()) return NameOf(tile_case) + ": damaged, decoded " + difference;
    }
  }
  return "";
}

// Whether a block whose value at `element` is not finite is refused, and no other.
template <typename Machine>
std::string CheckRefusal(Machine& machine, TileCase tile_case, size_t element) {
  tile_case.blocks = 2;
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, tile_case.token_begin);
  if (!setup.holds() || run.id == CodecId::kLossless) return "skip";  // which takes all values
  auto image = machine.Put(setup.image());
  setup.Attach(image.get(), &run);
  RawBlocks raw(tile_case);
  raw.Fill();
  element %= raw.elements.size();
  raw.elements[element] = 0x7F80 | (raw.elements[element] & 0x8000);
  if (tile_case.dtype == Dtype::kFp16) raw.elements[element] = 0x7C00;
  auto rows = machine.Put(raw.bytes());
  RunMemory memory(machine, setup, run);
  run.rows = raw.RowsAt(rows.get(), nullptr);
  if (!machine.Encode(run)) return NameOf(tile_case) + ": encoder not launched";
  memory.GetResults(machine);
  const std::vector<uint32_t>& refused = memory.refused;
  const size_t bad = element * 2 / static_cast<size_t>(raw.stream_bytes);
  for (size_t i = 0; i < refused.size(); ++i) {
    if (refused[i] != (i == bad ? 1u : 0u)) {
      return NameOf(tile_case) + ": stream " + std::to_string(i) +
             (i == bad ? " is not refused" : " is refused");
    }
  }
  return "";
}

// Every format's codecs that have a device twin, as keys and as values, and affine widths that no format has.
inline std::vector<StreamCodec> DeviceCodecs() {
  std::vector<StreamCodec> candidates, codecs;
  for (const FormatRow& row : Formats()) {
    candidates.push_back(row.key);
    candidates.push_back(row.value);
  }
  for (const char* name : {"int3_tokens_g16", "int3_tokens_g64", "int3_channels_g32",
                           "int8_tokens_g32", "int8_channels_g64"}) {
    candidates.push_back(*FindFormat(name, /*key=*/true));
  }
  for (const StreamCodec& codec : candidates) {
    TileRun run;
    run.id = codec.id;
    run.params = codec.params;
    run.shape = {64, 128};
    run.streams = 1;
    const bool known = std::find(codecs.begin(), codecs.end(), codec) != codecs.end();
    if (!known && RunSetup(run, 0).holds()) codecs.push_back(codec);
  }
  return codecs;
}

// `codec` behind the stages of `transform`. RoPE as `pairing` says, over 64 channels when they are that many.
inline StreamCodec WithStages(StreamCodec codec, uint8_t transform, uint8_t pairing,
                              uint32_t head_dim) {
  CodecParams& params = codec.params;
  params.transform |= transform;
  if ((params.transform & kTransformUnrope) != 0) {
    params.rope_pairing = pairing;
    params.rope_rotary_dim = static_cast<uint16_t>(pairing == 1 ? head_dim : head_dim / 32 * 16);
    params.rope_theta = 10'000;
    params.rope_attention_factor = pairing == 1 ? 1.0f : 1.25f;
  }
  return codec;
}

}  // namespace larder
