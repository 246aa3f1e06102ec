#include "client/cli/hash_tokens.h"

#include <algorithm>
#include <charconv>

#include "proto/contract/errors.h"
#include "proto/contract/limits.h"
#include "proto/contract/prefix_hash.h"

namespace larder::cli {
namespace {

absl::StatusOr<HashSchemeKind> SchemeFromName(const std::string& name) {
  if (name == "native") return HashSchemeKind::kNative;
  if (name == "vllm") return HashSchemeKind::kVllm;
  if (name == "sglang") return HashSchemeKind::kSglang;
  if (const auto scheme = HashSchemeFromName(name)) return *scheme;
  if (name == "sha256" || name == "vllm_sha256") {
    return InvalidField("--scheme", name,
                        "vllm: vLLM's default hashes a Python pickle, which no other program can "
                        "reproduce; start vLLM with --prefix-caching-hash-algo sha256_cbor");
  }
  return InvalidField("--scheme", name, "native, vllm or sglang");
}

}  // namespace

absl::StatusOr<std::vector<PrefixHash>> HashTokens(std::span<const uint32_t> tokens,
                                                   const HashTokensOptions& options) {
  const auto scheme = SchemeFromName(options.scheme);
  if (!scheme.ok()) return scheme.status();
  if (options.block_tokens == 0 || options.block_tokens > kBlockTokensMax) {
    return InvalidField("--block-tokens", std::to_string(options.block_tokens),
                        "1 to " + std::to_string(kBlockTokensMax));
  }
  if (*scheme == HashSchemeKind::kVllm && !options.seed) {
    return InvalidField("--seed", "nothing",
                        "the PYTHONHASHSEED of the engines: without one each vLLM process draws "
                        "its own seed and no two share a block");
  }
  if (*scheme != HashSchemeKind::kVllm && options.seed) {
    return InvalidField("--seed", *options.seed, "none: only vLLM's scheme has a seed");
  }
  if (*scheme == HashSchemeKind::kSglang && options.salt) {
    return InvalidField("--salt", *options.salt, "none: SGLang's scheme has no salt here");
  }
  return HashChain(tokens, {.scheme = *scheme,
                            .block_tokens = options.block_tokens,
                            .seed = options.seed.value_or(""),
                            .salt = options.salt});
}

absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(std::string_view text) {
  constexpr std::string_view kSeparators = " \t\r\n,[]";
  std::vector<uint32_t> tokens;
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    uint32_t token = 0;
    const auto [stop, fault] = std::from_chars(word.data(), word.data() + word.size(), token);
    if (fault != std::errc() || stop != word.data() + word.size()) {
      return InvalidField("token " + std::to_string(tokens.size()), word,
                          "a decimal id below 2^32");
    }
    tokens.push_back(token);
    at = text.find_first_not_of(kSeparators, end);
  }
  return tokens;
}

uint64_t LowBits(const PrefixHash& hash) {
  uint64_t bits = 0;
  for (const char byte : hash.view().substr(hash.size - std::min<size_t>(8, hash.size))) {
    bits = bits << 8 | static_cast<uint8_t>(byte);
  }
  return bits;
}

}  // namespace larder::cli
