#include "kernels/format/kv_layout.h"

#include <initializer_list>
#include <limits>

namespace larder {
namespace {

// nullopt on overflow and when a factor is zero.
std::optional<uint64_t> Product(std::initializer_list<uint64_t> factors) {
  uint64_t product = 1;
  for (uint64_t factor : factors) {
    if (factor == 0 || product > std::numeric_limits<uint64_t>::max() / factor) return std::nullopt;
    product *= factor;
  }
  return product;
}

bool EnumsAndLimitsHold(const KvShape& shape) {
  if (shape.dtype > Dtype::kUint8 || shape.axis_order > AxisOrder::kHnd) return false;
  if (shape.layers == 0 || shape.layers > kShapeLayersMax) return false;
  if (shape.layer_begin > std::numeric_limits<uint32_t>::max() - (shape.layers - 1)) return false;
  if (shape.kind != GroupKind::kAttention) return true;
  return shape.axis_order != AxisOrder::kUnspecified && shape.kv_heads <= kShapeHeadsMax;
}

bool KindHasStream(GroupKind group, StreamKind stream) {
  for (StreamKind kind : StreamsOfLayer(group)) {
    if (kind == stream) return true;
  }
  return false;
}

}  // namespace

uint32_t DtypeBytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFp32:
      return 4;
    case Dtype::kBf16:
    case Dtype::kFp16:
      return 2;
    case Dtype::kFp8E4M3:
    case Dtype::kFp8E5M2:
    case Dtype::kInt8:
    case Dtype::kUint8:
      return 1;
    case Dtype::kUnspecified:
      break;
  }
  return 0;
}

std::vector<StreamKind> StreamsOfLayer(GroupKind kind) {
  switch (kind) {
    case GroupKind::kAttention:
      return {StreamKind::kKey, StreamKind::kValue};
    case GroupKind::kLatent:
      return {StreamKind::kLatent, StreamKind::kRope};
    case GroupKind::kState:
      return {StreamKind::kState};
    case GroupKind::kOpaque:
      return {StreamKind::kOpaque};
    case GroupKind::kUnspecified:
      break;
  }
  return {};
}

std::optional<uint64_t> RawStreamBytes(const KvShape& shape, StreamKind kind) {
  if (!EnumsAndLimitsHold(shape) || !KindHasStream(shape.kind, kind)) return std::nullopt;
  const uint32_t element_bytes = DtypeBytes(shape.dtype);
  switch (kind) {
    case StreamKind::kKey:
      return Product({shape.tokens, shape.kv_heads, shape.head_dim_k, element_bytes});
    case StreamKind::kValue:
      return Product({shape.tokens, shape.kv_heads, shape.head_dim_v, element_bytes});
    case StreamKind::kLatent:
      return Product({shape.tokens, shape.head_dim_k, element_bytes});
    case StreamKind::kRope:
      return Product({shape.tokens, shape.head_dim_v, element_bytes});
    case StreamKind::kState:
      return Product({shape.unit_bytes});
    case StreamKind::kOpaque:
      return Product({shape.tokens, shape.unit_bytes});
    case StreamKind::kUnspecified:
      break;
  }
  return std::nullopt;
}

std::optional<uint64_t> RawBytes(const KvShape& shape) {
  uint64_t layer_bytes = 0;
  for (StreamKind kind : StreamsOfLayer(shape.kind)) {
    const std::optional<uint64_t> bytes = RawStreamBytes(shape, kind);
    if (!bytes || *bytes > std::numeric_limits<uint64_t>::max() - layer_bytes) return std::nullopt;
    layer_bytes += *bytes;
  }
  return Product({shape.layers, layer_bytes});
}

std::vector<RawStream> RawStreams(const KvShape& shape) {
  if (!RawBytes(shape)) return {};
  std::vector<RawStream> layer;  // every layer looks like this one, further on
  for (StreamKind kind : StreamsOfLayer(shape.kind)) {
    RawStream& stream = layer.emplace_back();
    stream.kind = kind;
    stream.heads = shape.kind == GroupKind::kAttention ? shape.kv_heads : 1;
    stream.bytes = *RawStreamBytes(shape, kind);
  }
  std::vector<RawStream> streams;
  streams.reserve(shape.layers * layer.size());
  uint64_t offset = 0;
  for (uint32_t i = 0; i < shape.layers; ++i) {
    for (RawStream stream : layer) {
      stream.layer = shape.layer_begin + i;
      stream.offset = offset;
      offset += stream.bytes;
      streams.push_back(stream);
    }
  }
  return streams;
}

}  // namespace larder
