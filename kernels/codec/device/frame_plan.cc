#include "kernels/codec/device/frame_plan.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/codec/stream_layout.h"
#include "kernels/format/frame.h"

namespace larder {
namespace {

constexpr uint32_t kRowAlignment = 16;

uint64_t RowBytes(const KvShape& shape, StreamKind kind) {
  return uint64_t{HeadDim(shape, kind)} * DtypeBytes(shape.dtype);
}

uint64_t Align16(uint64_t bytes) { return (bytes + 15) / 16 * 16; }

// Whether a stream's size is not known before it is coded.
bool Varies(const StreamCodec& codec) { return SizeVaries(codec.id); }

}  // namespace

bool FramePlan::PlanRaw(const KvShape& shape, Part& part) {
  const uint32_t heads = part.run.heads;
  const bool hnd = shape.kind == GroupKind::kAttention && shape.axis_order == AxisOrder::kHnd;
  const int64_t row = part.row_bytes;
  part.copied_tokens = shape.tokens;
  part.copied_token_stride = hnd ? row : row * heads;
  part.copied_head_stride = hnd ? row * shape.tokens : row;
  part.bytes = uint64_t{part.row_bytes} * shape.tokens * heads;
  return true;
}

bool FramePlan::PlanCoded(const KvShape& shape, const StreamCodec& codec, uint64_t token_begin,
                          Part& part) {
  const StreamKind kind = StreamsOfLayer(shape.kind)[part.kind];
  if (!Applies(codec, shape, kind, token_begin)) return false;
  const StreamLayout layout = LayoutOf(codec, shape, kind, part.run.heads);
  TileRun& run = part.run;
  run.id = codec.id;
  run.dtype = shape.dtype;
  run.params = codec.params;
  run.shape = layout.tile;
  run.layer_begin = shape.layer_begin + part.layer;
  run.streams = part.layers;
  part.setup.emplace(run, token_begin + codec.params.sinks);
  part.coded = true;
  part.copied_tokens = codec.params.sinks;
  part.copied_token_stride = part.row_bytes;
  part.copied_head_stride = static_cast<int64_t>(layout.sink_bytes);
  part.bytes = layout.stream_bytes_max;
  run.tiles.head_stride = static_cast<int64_t>(layout.tile_bytes_max);
  return part.setup->holds();
}

bool FramePlan::AddPart(const KvShape& shape, const StreamCodec& codec, uint64_t token_begin,
                        Part part) {
  const StreamKind kind = StreamsOfLayer(shape.kind)[part.kind];
  const uint64_t row_bytes = RowBytes(shape, kind);
  if (row_bytes == 0 || row_bytes % kRowAlignment != 0) return false;
  part.row_bytes = static_cast<uint32_t>(row_bytes);
  part.run.heads = heads_;
  const bool holds =
      codec.id == CodecId::kRaw ? PlanRaw(shape, part) : PlanCoded(shape, codec, token_begin, part);
  if (!holds) return false;
  if (part.coded) {
    part.image_at = image_.size();
    const auto image = part.setup->image();
    image_.insert(image_.end(), image.begin(), image.end());
    image_.resize(Align16(image_.size()));
    part.flags_at = flags_;
    flags_ += part.layers;
  }
  if (packed_) AddPacking(shape, codec, part);
  parts_.push_back(std::move(part));
  return true;
}

void FramePlan::AddPacking(const KvShape& shape, const StreamCodec& codec, Part& part) {
  PackStream& packing = part.packing;
  Part raw = part;
  PlanRaw(shape, raw);
  packing.kind = static_cast<uint32_t>(part.kind);
  packing.row_bytes = part.row_bytes;
  packing.coded = part.coded ? 1 : 0;
  packing.raw_token_stride = raw.copied_token_stride;
  packing.raw_head_stride = raw.copied_head_stride;
  part.bytes = std::max(part.bytes, raw.bytes);
  if (!part.coded) return;
  const StreamLayout layout = LayoutOf(codec, shape, StreamsOfLayer(shape.kind)[part.kind], heads_);
  const uint32_t tiles = part.layers * heads_;
  packing.part_layers = part.layers;
  packing.flags_at = part.flags_at;
  packing.slot_bytes = static_cast<uint32_t>(layout.tile_bytes_max);
  packing.tile_bytes = part.setup->tile_bytes();
  packing.table_bytes = static_cast<uint32_t>(layout.table_bytes);
  packing.sinks = codec.params.sinks;
  packing.drafts_at = draft_bytes_;
  packing.tiles_at = tiles_;
  part.coder_at = coder_bytes_;
  draft_bytes_ += uint64_t{tiles} * packing.slot_bytes;
  tiles_ += tiles;
  coder_bytes_ += uint64_t{tiles} * part.setup->scratch_bytes();
}

// A row per stream, in the order of the streams.
void FramePlan::WritePackTable() {
  std::vector<PackStream> table(streams_);
  for (const Part& part : parts_) {
    for (uint32_t layer = 0; layer < part.layers; ++layer) {
      PackStream row = part.packing;
      row.part_layer = layer;
      row.layer = part.layer + layer;
      table[row.layer * kinds_ + part.kind] = row;
    }
  }
  table_at_ = image_.size();
  image_.resize(table_at_ + table.size() * sizeof(PackStream));
  std::memcpy(image_.data() + table_at_, table.data(), table.size() * sizeof(PackStream));
}

uint64_t FramePlan::scratch_bytes(uint32_t blocks) const {
  return blocks * (draft_bytes_ + coder_bytes_) + decode_scratch_bytes(blocks);
}

uint64_t FramePlan::decode_scratch_bytes(uint32_t blocks) const {
  const uint64_t tiles = uint64_t{blocks} * tiles_;
  return Align16(tiles * sizeof(uint64_t)) + Align16(tiles * sizeof(uint32_t));
}

// Layers [layer, end) of equal codecs.
bool FramePlan::AddLayers(const KvShape& shape, std::span<const StreamCodec> of_layer,
                          uint64_t token_begin, uint32_t layer, uint32_t end) {
  const size_t first_part = parts_.size();
  uint64_t layer_bytes = 0;
  for (size_t kind = 0; kind < kinds_; ++kind) {
    Part part;
    part.kind = kind;
    part.layer = layer;
    part.layers = end - layer;
    part.offset = payload_bytes_ + layer_bytes;
    if (!AddPart(shape, of_layer[kind], token_begin, std::move(part))) return false;
    layer_bytes += AlignFrame(parts_.back().bytes);
  }
  for (size_t i = first_part; i < parts_.size(); ++i) parts_[i].layer_bytes = layer_bytes;
  payload_bytes_ += layer_bytes * (end - layer);
  return true;
}

std::optional<FramePlan> FramePlan::Create(const KvShape& shape,
                                           std::span<const StreamCodec> codecs,
                                           uint64_t token_begin, FramePlacing placing) {
  if (shape.kind != GroupKind::kAttention && shape.kind != GroupKind::kLatent) return std::nullopt;
  const size_t kinds = StreamsOfLayer(shape.kind).size();
  if (!RawBytes(shape) || kinds > kFrameKindsMax) return std::nullopt;
  if (codecs.size() != kinds * shape.layers) return std::nullopt;
  FramePlan plan;
  plan.kinds_ = kinds;
  plan.heads_ = shape.kind == GroupKind::kAttention ? shape.kv_heads : 1;
  plan.tokens_ = shape.tokens;
  plan.streams_ = static_cast<uint32_t>(codecs.size());
  plan.packed_ = placing == FramePlacing::kPacked || std::ranges::any_of(codecs, Varies);
  for (uint32_t layer = 0; layer < shape.layers;) {
    const auto of_layer = codecs.subspan(layer * kinds, kinds);
    uint32_t end = layer + 1;
    while (end < shape.layers && std::ranges::equal(codecs.subspan(end * kinds, kinds), of_layer)) {
      ++end;
    }
    if (!plan.AddLayers(shape, of_layer, token_begin, layer, end)) return std::nullopt;
    layer = end;
  }
  if (plan.packed_) plan.WritePackTable();
  return plan;
}

std::optional<size_t> FramePlan::FlagOf(uint32_t stream, uint32_t block, uint32_t blocks) const {
  const auto layer = static_cast<uint32_t>(stream / kinds_);
  for (const Part& part : parts_) {
    if (!part.coded || part.kind != stream % kinds_) continue;
    if (layer < part.layer || layer >= part.layer + part.layers) continue;
    return size_t{part.flags_at} * blocks + size_t{block} * part.layers + (layer - part.layer);
  }
  return std::nullopt;
}

FramePack FramePlan::PackOf(const FrameMemory& memory, bool encode) const {
  FramePack pack;
  pack.rows = memory.rows;
  pack.plan =
      reinterpret_cast<const PackStream*>(static_cast<const std::byte*>(memory.image) + table_at_);
  pack.placed = memory.placed;
  pack.payloads = memory.payloads;
  pack.payload_stride = memory.payload_stride;
  pack.blocks = memory.blocks;
  pack.kinds = static_cast<uint32_t>(kinds_);
  pack.streams = streams_;
  pack.heads = heads_;
  pack.tokens = tokens_;
  pack.refused = memory.refused;
  if (memory.scratch == nullptr) return pack;
  const uint64_t tiles = uint64_t{memory.blocks} * tiles_;
  uint8_t* at = memory.scratch;
  if (encode) {
    pack.drafts = at;
    at += memory.blocks * (draft_bytes_ + coder_bytes_);
  }
  pack.places = reinterpret_cast<uint64_t*>(at);
  pack.sizes = reinterpret_cast<uint32_t*>(at + Align16(tiles * sizeof(uint64_t)));
  return pack;
}

TileRun FramePlan::RunOf(const Part& part, const RunRows& rows, const FrameMemory& memory,
                         const BoundFrames& frames) const {
  TileRun run = part.run;
  part.setup->Attach(static_cast<const std::byte*>(memory.image) + part.image_at, &run);
  run.blocks = memory.blocks;
  run.rows = rows;
  run.rows.first_token += part.copied_tokens;
  run.refused = memory.refused + size_t{part.flags_at} * memory.blocks;
  RunTiles& tiles = run.tiles;
  if (!packed_) {
    tiles.base = memory.payloads + part.offset + part.copied_head_stride * heads_;
    tiles.block_stride = memory.payload_stride;
    tiles.stream_stride = static_cast<int64_t>(part.layer_bytes);
    return run;
  }
  if (memory.scratch == nullptr) return run;  // which no launcher takes
  const PackStream& packing = part.packing;
  const uint64_t tiles_before = uint64_t{packing.tiles_at} * memory.blocks;
  run.sizes = frames.pack->sizes + tiles_before;
  if (!frames.encode) {
    tiles = {memory.payloads, memory.payload_stride};
    tiles.places = frames.pack->places + tiles_before;
    return run;
  }
  tiles.base = memory.scratch + packing.drafts_at * memory.blocks;
  tiles.stream_stride = tiles.head_stride * heads_;
  tiles.block_stride = tiles.stream_stride * part.layers;
  run.scratch = memory.scratch + (draft_bytes_ + part.coder_at) * memory.blocks;
  return run;
}

// What stands beside the tiles of a kFixed plan.
void FramePlan::BindFixed(const Part& part, const RunRows& rows, const FrameMemory& memory,
                          BoundFrames& frames) const {
  uint8_t* stream = memory.payloads + part.offset;
  const auto layer_bytes = static_cast<int64_t>(part.layer_bytes);
  if (part.copied_tokens > 0) {
    RowCopy copy;
    copy.from = rows;
    copy.to.base = stream;
    copy.to.block_stride = memory.payload_stride;
    copy.to.stream_stride = layer_bytes;
    copy.to.head_stride = part.copied_head_stride;
    copy.to.token_stride = part.copied_token_stride;
    copy.blocks = memory.blocks;
    copy.streams = part.layers;
    copy.heads = heads_;
    copy.tokens = part.copied_tokens;
    copy.row_bytes = part.row_bytes;
    if (!frames.encode) std::swap(copy.from, copy.to);
    frames.copies.push_back(copy);
  }
  const auto padding = static_cast<uint32_t>(AlignFrame(part.bytes) - part.bytes);
  if (padding > 0 && frames.encode) {
    frames.clears.push_back(
        {stream + part.bytes, memory.payload_stride, layer_bytes, part.layers, padding});
  }
}

BoundFrames FramePlan::Bind(const FrameMemory& memory, bool encode) const {
  BoundFrames frames;
  frames.encode = encode;
  frames.blocks = memory.blocks;
  if (packed_) frames.pack = PackOf(memory, encode);
  for (const Part& part : parts_) {
    RunRows rows = memory.rows[part.kind];
    rows.base += part.layer * rows.stream_stride;
    if (!packed_) BindFixed(part, rows, memory, frames);
    if (part.coded) frames.runs.push_back(RunOf(part, rows, memory, frames));
  }
  return frames;
}

std::vector<RowCopy> RowCopiesOf(const KvShape& shape, const BlockRows& from, const BlockRows& to) {
  std::vector<RowCopy> copies;
  if (shape.kind != GroupKind::kAttention && shape.kind != GroupKind::kLatent) return copies;
  const auto kinds = StreamsOfLayer(shape.kind);
  for (size_t kind = 0; kind < kinds.size() && kind < kFrameKindsMax; ++kind) {
    copies.push_back({.from = from[kind],
                      .to = to[kind],
                      .blocks = 1,
                      .streams = shape.layers,
                      .heads = shape.kind == GroupKind::kAttention ? shape.kv_heads : 1,
                      .tokens = shape.tokens,
                      .row_bytes = static_cast<uint32_t>(RowBytes(shape, kinds[kind]))});
  }
  return copies;
}

BlockRows RawRowsAt(const KvShape& shape, uint8_t* base) {
  BlockRows rows;
  const bool attention = shape.kind == GroupKind::kAttention;
  const bool hnd = attention && shape.axis_order == AxisOrder::kHnd;
  const auto kinds = StreamsOfLayer(shape.kind);
  int64_t layer_bytes = 0;
  for (size_t kind = 0; kind < kinds.size() && kind < rows.size(); ++kind) {
    const auto row = static_cast<int64_t>(RowBytes(shape, kinds[kind]));
    rows[kind].base = base + layer_bytes;
    rows[kind].head_stride = hnd ? row * shape.tokens : row;
    rows[kind].token_stride = hnd ? row : row * (attention ? shape.kv_heads : 1);
    layer_bytes += static_cast<int64_t>(RawStreamBytes(shape, kinds[kind]).value_or(0));
  }
  for (RunRows& each : rows) {
    each.stream_stride = layer_bytes;
    each.block_stride = layer_bytes * shape.layers;
  }
  return rows;
}

bool FramesHold(const BoundFrames& frames, bool encode) {
  if (frames.blocks == 0 || frames.encode != encode) return false;
  for (const TileRun& run : frames.runs) {
    if (!RunHolds(run, encode)) return false;
  }
  for (const RowCopy& copy : frames.copies) {
    if (!RowCopyHolds(copy)) return false;
  }
  if (!frames.pack) return true;
  const FramePack& pack = *frames.pack;
  for (uint32_t kind = 0; kind < pack.kinds; ++kind) {
    if (!RowsHold(pack.rows[kind])) return false;
  }
  return pack.placed != nullptr && pack.payloads != nullptr &&
         reinterpret_cast<uintptr_t>(pack.payloads) % 16 == 0 && pack.payload_stride % 16 == 0;
}

}  // namespace larder
