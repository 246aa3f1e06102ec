// Shape of the KV bytes of one block, and the order in which its streams stand in raw form.
//
// A raw block is the concatenation, layer by layer, of that layer's streams in the order of
// StreamsOfLayer():
//   kAttention  key [T][H][Dk] then value [T][H][Dv] (NHD), or [H][T][D] each (HND)
//   kLatent     latent [T][Dk] then rope [T][Dv]  (MLA: Dk = latent dimension, Dv = RoPE dimension,
//               H = 1)
//   kState      one snapshot of unit_bytes per layer  (SSM, linear attention; independent of T)
//   kOpaque     T rows of unit_bytes per layer  (the engine's own format)
// without padding. T tokens, H kv_heads, D head_dim; all integers little-endian.
// A kind needs the fields named in its line, and kAttention and kLatent also `dtype`, kAttention
// also `axis_order`; `layers` always. Fields that a kind does not need may have any value of their
// type; they travel along and change no size.
//
// std-only: device code may include it. Everything here is a pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace larder {

enum class Dtype : uint8_t {
  kUnspecified = 0,
  kBf16 = 1,
  kFp16 = 2,
  kFp32 = 3,
  kFp8E4M3 = 4,
  kFp8E5M2 = 5,
  kInt8 = 6,
  kUint8 = 7,
};

enum class AxisOrder : uint8_t { kUnspecified = 0, kNhd = 1, kHnd = 2 };

enum class GroupKind : uint8_t {
  kUnspecified = 0,
  kAttention = 1,
  kLatent = 2,
  kState = 3,
  kOpaque = 4,
};

enum class StreamKind : uint8_t {
  kUnspecified = 0,
  kKey = 1,
  kValue = 2,
  kLatent = 3,
  kRope = 4,
  kState = 5,
  kOpaque = 6,
};

// Stored form of a block, lowest to highest. A reader names the lowest it accepts.
enum class Fidelity : uint8_t {
  kUnspecified = 0,
  kReduced = 1,
  kCompact = 2,
  kBalanced = 3,
  kNear = 4,
  kExact = 5,
};

// Beyond these a shape is not valid, so that a shape from untrusted bytes can not ask for more than
// 2 x kShapeLayersMax streams.
inline constexpr uint32_t kShapeLayersMax =
    4'096;  // four times the deepest stack that the contract accepts
inline constexpr uint32_t kShapeHeadsMax = 65'535;  // a StreamEntry counts heads in 16 bits

// Shape of one layer group of one block. layer_begin is the absolute number of its first layer.
struct KvShape {
  GroupKind kind = GroupKind::kUnspecified;
  Dtype dtype = Dtype::kUnspecified;
  AxisOrder axis_order = AxisOrder::kUnspecified;
  uint32_t layer_begin = 0;
  uint32_t layers = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;
  uint32_t unit_bytes = 0;
  uint32_t tokens = 0;

  friend bool operator==(const KvShape&, const KvShape&) = default;
};

// One stream of a raw block.
struct RawStream {
  StreamKind kind = StreamKind::kUnspecified;
  uint32_t layer = 0;   // absolute layer number
  uint32_t heads = 0;   // 1 where heads do not apply
  uint64_t offset = 0;  // within the raw block
  uint64_t bytes = 0;
};

// 0 for kUnspecified and for values outside the enum.
uint32_t DtypeBytes(Dtype dtype);

// Streams of one layer in raw order: {kKey, kValue}, {kLatent, kRope}, {kState} or {kOpaque}; empty
// for an unknown kind.
std::vector<StreamKind> StreamsOfLayer(GroupKind kind);

// Bytes of one stream of one layer. nullopt when the shape is not valid: a field that the kind
// needs is zero, unspecified or outside its enum, a limit above is exceeded, a layer number or a
// size overflows. nullopt also for a stream that the kind does not have.
std::optional<uint64_t> RawStreamBytes(const KvShape& shape, StreamKind kind);

// Bytes of the whole raw block; nullopt as above.
std::optional<uint64_t> RawBytes(const KvShape& shape);

// Every stream of the block in raw order; empty when RawBytes() is nullopt.
std::vector<RawStream> RawStreams(const KvShape& shape);

}  // namespace larder
