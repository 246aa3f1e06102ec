// What `larder hash` computes: the chain of prefix hashes of token ids under a named scheme. Pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/contract/block_key.h"

namespace larder::cli {

struct HashTokensOptions {
  std::string scheme = "native";  // native, vllm, sglang, or the name that a manifest carries
  uint32_t block_tokens = 16;
  std::optional<std::string> seed;  // vLLM only, and required there
  std::optional<std::string> salt;  // native and vLLM
};

// One hash per full block. INVALID_ARGUMENT for an unknown scheme, for one that can not be shared
// between processes, and for a seed or salt that the scheme does not have.
absl::StatusOr<std::vector<PrefixHash>> HashTokens(std::span<const uint32_t> tokens,
                                                   const HashTokensOptions& options);

// Decimal ids separated by blanks, commas or brackets, so that a JSON array is fine too.
// INVALID_ARGUMENT.
absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(std::string_view text);

// The last 8 bytes as the number that some event streams carry instead of the hash.
uint64_t LowBits(const PrefixHash& hash);

}  // namespace larder::cli
