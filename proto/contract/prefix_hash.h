// Chained prefix hashes: our native scheme, and the portable schemes of vLLM and SGLang so that
// users can check that their engines agree. FORMAT.md gives the exact bytes and test vectors. Pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proto/contract/block_key.h"

namespace larder {

// Extra keys that make equal tokens different (adapter, salt, multimodal content), in the caller's
// order.
using ExtraKeys = std::span<const std::string>;

// Native scheme: SHA-256 over a domain tag, the parent hash, token ids as little-endian u32, and
// the extra keys, each behind its length. An empty parent starts a chain.
PrefixHash NativeHash(const PrefixHash& parent, std::span<const uint32_t> tokens,
                      ExtraKeys extra = {});

// vLLM sha256_cbor: NONE_HASH of a PYTHONHASHSEED, and one block. `salt` only for the first block.
PrefixHash VllmNoneHash(std::string_view seed);
PrefixHash VllmHash(const PrefixHash& parent, std::span<const uint32_t> tokens,
                    std::optional<std::string_view> salt = {});

// SGLang HiCache page hash; empty parent for the first page.
PrefixHash SglangHash(const PrefixHash& parent, std::span<const uint32_t> tokens);

enum class HashSchemeKind : uint8_t { kNative, kVllm, kSglang };

// Names as a manifest's hash_scheme.name carries them: "larder", "vllm_sha256_cbor",
// "sglang_sha256". nullopt for any other name: such a scheme is opaque to Larder.
std::string_view HashSchemeName(HashSchemeKind scheme);
std::optional<HashSchemeKind> HashSchemeFromName(std::string_view name);

// Hashes of every full block of `tokens`; a trailing partial block has no hash. Empty when
// block_tokens is 0. SGLang's scheme has neither seed nor salt here: a caller that is given one
// should refuse it.
struct ChainOptions {
  HashSchemeKind scheme = HashSchemeKind::kNative;
  uint32_t block_tokens = 16;
  // vLLM: PYTHONHASHSEED.
  std::string seed = "";
  // vLLM: cache salt; native: one extra key on the first block.
  std::optional<std::string> salt = std::nullopt;
};
std::vector<PrefixHash> HashChain(std::span<const uint32_t> tokens, const ChainOptions& options);

// What a manifest's hash_scheme.probe holds: the hash of the single block of tokens
// 0..block_tokens-1.
PrefixHash ProbeHash(HashSchemeKind scheme, std::string_view seed, uint32_t block_tokens);

// Native hash of tokens 0..15 without a parent: the probe that Capabilities carries.
PrefixHash NativeProbe();

}  // namespace larder
