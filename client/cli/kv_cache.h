// Keys and values of consecutive layers, outside any engine: what `larder codec` measures and stores.
//
// Shape   keys[layer] is [token][head][head_dim_k], values[layer] [token][head][head_dim_v], bf16 or
//         fp16 as uint16, NHD; keys as a cache holds them (RoPE applied).
// A cache is coded in pieces, each one frame: some layers of up to block_tokens consecutive tokens.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/format/frame.h"
#include "kernels/format/kv_layout.h"

namespace larder::cli {

struct KvCache {
  Dtype dtype = Dtype::kBf16;  // kBf16 or kFp16
  uint32_t layer_begin = 0;    // the model's number of keys[0]
  uint32_t heads = 0;
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;
  uint32_t tokens = 0;
  uint64_t token_begin = 0;  // position of the first token
  std::vector<std::vector<uint16_t>> keys;
  std::vector<std::vector<uint16_t>> values;

  uint32_t layers() const { return static_cast<uint32_t>(keys.size()); }
  uint64_t key_elements() const { return uint64_t{layers()} * tokens * heads * head_dim_k; }
  uint64_t value_elements() const { return uint64_t{layers()} * tokens * heads * head_dim_v; }
  uint64_t bytes() const { return 2 * (key_elements() + value_elements()); }
  friend bool operator==(const KvCache&, const KvCache&) = default;
};

// The block of one frame.
struct KvPiece {
  KvShape shape;
  uint64_t token_begin = 0;
};

// Every piece once: by layers, then by tokens. As many layers to a frame as it holds; fewer tokens
// where not even one layer fits. INVALID_ARGUMENT when one token of one layer does not.
absl::StatusOr<std::vector<KvPiece>> CutIntoPieces(const KvCache& cache, uint32_t block_tokens);

// A piece of the cache in raw form (kv_layout.h), and back. The piece lies within the cache; `raw`
// has RawBytes(piece.shape) bytes.
void GatherPiece(const KvCache& cache, const KvPiece& piece, std::span<std::byte> raw);
void ScatterPiece(std::span<const std::byte> raw, const KvPiece& piece, KvCache& cache);

// The rows of one head in fp32, [token][head_dim].
std::vector<float> RowsOfHead(const KvCache& cache, StreamKind kind, uint32_t layer, uint32_t head);

// Whether no element is an infinity or a NaN.
bool IsFinite(const KvCache& cache);

}  // namespace larder::cli
