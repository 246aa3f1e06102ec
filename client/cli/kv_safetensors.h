// A KvCache as a safetensors file.
//
// Tensors  layers.N.k and layers.N.v, N the layer's number without leading zeros, every N from the
//          first to the last; shape [tokens, heads, head_dim], BF16 or F16, equal in all layers (keys
//          and values may differ in head_dim). Keys as the cache holds them, RoPE applied.
// Other tensors are refused: bytes that would not come back. The position of the first token is not
// in the file; the caller says it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/kv_cache.h"
#include "client/cli/safetensors.h"

namespace larder::cli {

absl::StatusOr<KvCache> KvOfSafetensors(const Safetensors& tensors, const std::string& name,
                                        uint64_t token_begin);
absl::StatusOr<KvCache> ReadKv(const std::string& path, uint64_t token_begin);
absl::Status WriteKv(const KvCache& cache, const std::string& path);

}  // namespace larder::cli
