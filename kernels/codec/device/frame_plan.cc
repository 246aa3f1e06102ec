#include "kernels/codec/device/frame_plan.h"

#include <algorithm>
#include <limits>

#include "kernels/codec/stream_layout.h"
#include "kernels/format/frame.h"

namespace larder {
namespace {

constexpr uint32_t kRowAlignment = 16;

uint64_t RowBytes(const KvShape& shape, StreamKind kind) {
  return uint64_t{HeadDim(shape, kind)} * DtypeBytes(shape.dtype);
}

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
  if (layout.table_bytes > 0) return false;
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
    image_.resize((image_.size() + 15) / 16 * 16);
    part.flags_at = flags_;
    flags_ += part.layers;
  }
  parts_.push_back(std::move(part));
  return true;
}

std::optional<FramePlan> FramePlan::Create(const KvShape& shape,
                                           std::span<const StreamCodec> codecs,
                                           uint64_t token_begin) {
  if (shape.kind != GroupKind::kAttention && shape.kind != GroupKind::kLatent) return std::nullopt;
  const size_t kinds = StreamsOfLayer(shape.kind).size();
  if (!RawBytes(shape) || kinds > kFrameKindsMax) return std::nullopt;
  if (codecs.size() != kinds * shape.layers) return std::nullopt;
  FramePlan plan;
  plan.kinds_ = kinds;
  plan.heads_ = shape.kind == GroupKind::kAttention ? shape.kv_heads : 1;
  for (uint32_t layer = 0; layer < shape.layers;) {
    const auto of_layer = codecs.subspan(layer * kinds, kinds);
    uint32_t end = layer + 1;
    while (end < shape.layers && std::ranges::equal(codecs.subspan(end * kinds, kinds), of_layer)) {
      ++end;
    }
    const size_t first_part = plan.parts_.size();
    uint64_t layer_bytes = 0;
    for (size_t kind = 0; kind < kinds; ++kind) {
      Part part;
      part.kind = kind;
      part.layer = layer;
      part.layers = end - layer;
      part.offset = plan.payload_bytes_ + layer_bytes;
      if (!plan.AddPart(shape, of_layer[kind], token_begin, std::move(part))) return std::nullopt;
      layer_bytes += AlignFrame(plan.parts_.back().bytes);
    }
    for (size_t i = first_part; i < plan.parts_.size(); ++i) {
      plan.parts_[i].layer_bytes = layer_bytes;
    }
    plan.payload_bytes_ += layer_bytes * (end - layer);
    layer = end;
  }
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

BoundFrames FramePlan::Bind(const FrameMemory& memory) const {
  BoundFrames frames;
  frames.blocks = memory.blocks;
  for (const Part& part : parts_) {
    RunRows rows = memory.rows[part.kind];
    rows.base += part.layer * rows.stream_stride;
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
      frames.copies.push_back(copy);
    }
    if (part.coded) {
      TileRun run = part.run;
      part.setup->Attach(static_cast<const std::byte*>(memory.image) + part.image_at, &run);
      run.blocks = memory.blocks;
      run.rows = rows;
      run.rows.first_token += part.copied_tokens;
      run.tiles.base = stream + part.copied_head_stride * heads_;
      run.tiles.block_stride = memory.payload_stride;
      run.tiles.stream_stride = layer_bytes;
      run.refused = memory.refused + size_t{part.flags_at} * memory.blocks;
      frames.runs.push_back(run);
    }
    const auto padding = static_cast<uint32_t>(AlignFrame(part.bytes) - part.bytes);
    if (padding > 0) {
      frames.clears.push_back(
          {stream + part.bytes, memory.payload_stride, layer_bytes, part.layers, padding});
    }
  }
  return frames;
}

}  // namespace larder
