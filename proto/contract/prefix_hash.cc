#include "proto/contract/prefix_hash.h"

#include <bit>
#include <numeric>

namespace larder {
namespace {

// Token ids are hashed as little-endian u32 straight from memory.
static_assert(std::endian::native == std::endian::little);

// The terminating zero is part of the tag: no tag is a prefix of another.
constexpr std::string_view kNativeTag("larder.prefix.v1\0", 17);

void AppendU32(uint32_t value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendTokens(std::span<const uint32_t> tokens, std::string* out) {
  out->append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
}

// Head of a CBOR item (RFC 8949 section 3) in its shortest form, which deterministic CBOR demands.
void AppendCborHead(uint8_t major, uint64_t value, std::string* out) {
  const auto type = static_cast<uint8_t>(major << 5);
  if (value < 24) {
    out->push_back(static_cast<char>(type | value));
    return;
  }
  const int log2_bytes = value <= 0xFF ? 0 : value <= 0xFFFF ? 1 : value <= 0xFFFF'FFFF ? 2 : 3;
  const int bytes = 1 << log2_bytes;
  char head[9] = {static_cast<char>(type | (24 + log2_bytes))};
  for (int i = bytes; i >= 1; --i, value >>= 8) head[i] = static_cast<char>(value);
  out->append(head, 1 + bytes);
}

constexpr uint8_t kCborUnsigned = 0;
constexpr uint8_t kCborBytes = 2;
constexpr uint8_t kCborText = 3;
constexpr uint8_t kCborArray = 4;
constexpr char kCborNull = '\xF6';

void AppendCborString(uint8_t major, std::string_view value, std::string* out) {
  AppendCborHead(major, value.size(), out);
  out->append(value);
}

}  // namespace

std::string_view HashSchemeName(HashSchemeKind scheme) {
  switch (scheme) {
    case HashSchemeKind::kNative:
      return "larder";
    case HashSchemeKind::kVllm:
      return "vllm_sha256_cbor";
    case HashSchemeKind::kSglang:
      return "sglang_sha256";
  }
  return "unknown";
}

std::optional<HashSchemeKind> HashSchemeFromName(std::string_view name) {
  for (const auto scheme :
       {HashSchemeKind::kNative, HashSchemeKind::kVllm, HashSchemeKind::kSglang}) {
    if (name == HashSchemeName(scheme)) return scheme;
  }
  return std::nullopt;
}

PrefixHash NativeHash(const PrefixHash& parent, std::span<const uint32_t> tokens, ExtraKeys extra) {
  std::string preimage;
  preimage.reserve(kNativeTag.size() + 1 + parent.size + 8 + tokens.size_bytes());
  preimage.append(kNativeTag);
  preimage.push_back(static_cast<char>(parent.size));
  preimage.append(parent.view());
  AppendU32(static_cast<uint32_t>(tokens.size()), &preimage);
  AppendTokens(tokens, &preimage);
  AppendU32(static_cast<uint32_t>(extra.size()), &preimage);
  for (const std::string& key : extra) {
    AppendU32(static_cast<uint32_t>(key.size()), &preimage);
    preimage.append(key);
  }
  return PrefixHash::From(Sha256(preimage));
}

PrefixHash VllmNoneHash(std::string_view seed) {
  std::string preimage;
  AppendCborString(kCborText, seed, &preimage);
  return PrefixHash::From(Sha256(preimage));
}

PrefixHash VllmHash(const PrefixHash& parent, std::span<const uint32_t> tokens,
                    std::optional<std::string_view> salt) {
  std::string preimage;
  preimage.reserve(64 + 5 * tokens.size());
  AppendCborHead(kCborArray, 3, &preimage);
  AppendCborString(kCborBytes, parent.view(), &preimage);
  AppendCborHead(kCborArray, tokens.size(), &preimage);
  for (const uint32_t token : tokens) AppendCborHead(kCborUnsigned, token, &preimage);
  if (salt) {
    AppendCborHead(kCborArray, 1, &preimage);
    AppendCborString(kCborText, *salt, &preimage);
  } else {
    preimage.push_back(kCborNull);
  }
  return PrefixHash::From(Sha256(preimage));
}

PrefixHash SglangHash(const PrefixHash& parent, std::span<const uint32_t> tokens) {
  std::string preimage;
  preimage.reserve(parent.size + tokens.size_bytes());
  preimage.append(parent.view());
  AppendTokens(tokens, &preimage);
  return PrefixHash::From(Sha256(preimage));
}

std::vector<PrefixHash> HashChain(std::span<const uint32_t> tokens, const ChainOptions& options) {
  if (options.block_tokens == 0) return {};
  const size_t blocks = tokens.size() / options.block_tokens;
  const bool vllm = options.scheme == HashSchemeKind::kVllm;
  PrefixHash parent = vllm ? VllmNoneHash(options.seed) : PrefixHash{};
  ExtraKeys extra = options.salt ? ExtraKeys(&*options.salt, 1) : ExtraKeys{};
  std::vector<PrefixHash> chain;
  chain.reserve(blocks);
  for (size_t i = 0; i < blocks; ++i) {
    const auto block = tokens.subspan(i * options.block_tokens, options.block_tokens);
    switch (options.scheme) {
      case HashSchemeKind::kNative:
        parent = NativeHash(parent, block, extra);
        break;
      case HashSchemeKind::kVllm:
        parent = extra.empty() ? VllmHash(parent, block) : VllmHash(parent, block, extra[0]);
        break;
      case HashSchemeKind::kSglang:
        parent = SglangHash(parent, block);
        break;
    }
    extra = {};  // the salt counts once: the chain carries it on
    chain.push_back(parent);
  }
  return chain;
}

PrefixHash ProbeHash(HashSchemeKind scheme, std::string_view seed, uint32_t block_tokens) {
  std::vector<uint32_t> tokens(block_tokens);
  std::iota(tokens.begin(), tokens.end(), 0u);
  const auto chain = HashChain(
      tokens, {.scheme = scheme, .block_tokens = block_tokens, .seed = std::string(seed)});
  return chain.empty() ? PrefixHash{} : chain.front();
}

PrefixHash NativeProbe() { return ProbeHash(HashSchemeKind::kNative, "", 16); }

}  // namespace larder
