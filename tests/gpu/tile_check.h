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
  bool hnd = false;           // [head][token] in a stream or page; else [token][head]
  uint32_t page_tokens = 0;   // not 0: rows stand in pages, in no order
  uint32_t outliers = 0;      // channels with a mean far from 0
  float scale = 1;            // of all values
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
       << tile_case.page_tokens
       << (tile_case.dtype == Dtype::kBf16 ? " bf16" : " fp16") << " seed " << tile_case.seed;
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

// The reference's tiles and what they decode to. The raw blocks must be ones that the codec can code.
struct Reference {
  Reference(const TileCase& tile_case, const TileRun& run, RawBlocks& raw) : decoded(tile_case) {
    std::memset(decoded.bytes().data(), 0xA5, decoded.bytes().size());  // what no row covers
    const TileCodec& codec = *FindTileCodec(run.id);
    const RunTiles tiles = TilesAt(nullptr, run);
    encoded.resize(static_cast<size_t>(tiles.block_stride) * run.blocks);
    std::unique_ptr<RopeTable> rope;
    if ((run.params.transform & kTransformUnrope) != 0) {
      rope = std::make_unique<RopeTable>(run.params, tile_case.token_begin, run.shape.tokens);
    }
    Workspace workspace;
    for (uint32_t at = 0; at < run.blocks * run.streams * run.heads; ++at) {
      const uint32_t block = at / run.heads / run.streams, stream = at / run.heads % run.streams;
      const uint32_t head = at % run.heads;
      TileContext context{run.params, run.dtype};
      context.layer = run.layer_begin + stream;
      context.rope = rope.get();
      context.isa = Isa::kScalar;
      std::byte* tile = encoded.data() + block * tiles.block_stride +
                        stream * tiles.stream_stride + head * tiles.head_stride;
      const TargetRows rows = raw.Tile(block, stream, head);
      const SourceRows source{rows.base,        rows.token_stride, rows.pages,
                              rows.page_tokens, rows.page_stride,  rows.first_token};
      holds = holds && codec.Encode(context, run.shape, source, workspace, tile) &&
              codec.Decode(context, run.shape, {tile, run.tile_bytes}, workspace,
                           decoded.Tile(block, stream, head));
    }
  }

  bool holds = true;
  std::vector<std::byte> encoded;
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
  std::vector<std::byte> got(reference.encoded.size(), std::byte{0xA5});
  auto tiles = machine.Put(got);
  std::vector<uint32_t> refused(size_t{run.blocks} * run.streams, 7);
  auto flags = machine.Put(std::as_bytes(std::span(refused)));
  auto table = machine.Put(std::as_bytes(std::span(raw.pages)));
  run.rows = raw.RowsAt(rows.get(), table.get());
  run.tiles = TilesAt(tiles.get(), run);
  run.refused = reinterpret_cast<uint32_t*>(flags.get());
  if (!machine.Encode(run)) return NameOf(tile_case) + ": encoder not launched";
  machine.Get(tiles, got);
  machine.Get(flags, std::as_writable_bytes(std::span(refused)));
  for (const uint32_t flag : refused) {
    if (flag != 0) return NameOf(tile_case) + ": refused";
  }
  std::string difference = DifferenceOf(reference.encoded, got);
  if (!difference.empty()) return NameOf(tile_case) + ": encoded " + difference;
  RawBlocks back(tile_case);
  std::memset(back.elements.data(), 0xA5, back.elements.size() * 2);
  auto target = machine.Put(back.bytes());
  run.rows = back.RowsAt(target.get(), table.get());
  if (!machine.Decode(run)) return NameOf(tile_case) + ": decoder not launched";
  machine.Get(target, back.bytes());
  difference = DifferenceOf(std::as_bytes(std::span(reference.decoded.elements)), back.bytes());
  return difference.empty() ? "" : NameOf(tile_case) + ": decoded " + difference;
}

// Whether a block whose value at `element` is not finite is refused, and no other.
template <typename Machine>
std::string CheckRefusal(Machine& machine, TileCase tile_case, size_t element) {
  tile_case.blocks = 2;
  TileRun run = RunOf(tile_case);
  const RunSetup setup(run, tile_case.token_begin);
  if (!setup.holds()) return "skip";
  auto image = machine.Put(setup.image());
  setup.Attach(image.get(), &run);
  RawBlocks raw(tile_case);
  raw.Fill();
  element %= raw.elements.size();
  raw.elements[element] = 0x7F80 | (raw.elements[element] & 0x8000);
  if (tile_case.dtype == Dtype::kFp16) raw.elements[element] = 0x7C00;
  auto rows = machine.Put(raw.bytes());
  const RunTiles layout = TilesAt(nullptr, run);
  auto tiles = machine.Put(std::vector<std::byte>(layout.block_stride * run.blocks));
  std::vector<uint32_t> refused(size_t{run.blocks} * run.streams, 7);
  auto flags = machine.Put(std::as_bytes(std::span(refused)));
  run.rows = raw.RowsAt(rows.get(), nullptr);
  run.tiles = TilesAt(tiles.get(), run);
  run.refused = reinterpret_cast<uint32_t*>(flags.get());
  if (!machine.Encode(run)) return NameOf(tile_case) + ": encoder not launched";
  machine.Get(flags, std::as_writable_bytes(std::span(refused)));
  const size_t bad = element * 2 / static_cast<size_t>(raw.stream_bytes);
  for (size_t i = 0; i < refused.size(); ++i) {
    if (refused[i] != (i == bad ? 1u : 0u)) {
      return NameOf(tile_case) + ": stream " + std::to_string(i) +
             (i == bad ? " is not refused" : " is refused");
    }
  }
  return "";
}

// Every format's codecs that have a device twin, as keys and as values.
inline std::vector<StreamCodec> DeviceCodecs() {
  std::vector<StreamCodec> codecs;
  for (const FormatRow& row : Formats()) {
    for (const StreamCodec& codec : {row.key, row.value}) {
      TileRun run;
      run.id = codec.id;
      run.params = codec.params;
      run.shape = {64, 128};
      run.streams = 1;
      const bool known = std::find(codecs.begin(), codecs.end(), codec) != codecs.end();
      if (!known && RunSetup(run, 0).holds()) codecs.push_back(codec);
    }
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
