// Names of things on the wire: prefix hashes, digests, spaces.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proto/contract/limits.h"

namespace larder {

using Digest = std::array<uint8_t, 32>;  // SHA-256

// Well under 1 us for a block of 16 tokens. Thread-safe. Aborts when OpenSSL can not hash (no
// memory).
Digest Sha256(std::string_view bytes);

// Up to 32 opaque bytes that identify all tokens up to a block's end, made by the engine. Empty
// only as "no parent". A value type; the unused tail is always zero, so it compares and hashes as a
// whole.
struct PrefixHash {
  uint8_t size = 0;
  std::array<uint8_t, kPrefixHashBytesMax> bytes{};

  // nullopt when longer than kPrefixHashBytesMax.
  static std::optional<PrefixHash> From(std::string_view raw) {
    if (raw.size() > kPrefixHashBytesMax) return std::nullopt;
    PrefixHash hash;
    hash.size = static_cast<uint8_t>(raw.size());
    std::copy(raw.begin(), raw.end(), hash.bytes.begin());
    return hash;
  }
  static PrefixHash From(const Digest& digest) {
    PrefixHash hash;
    hash.size = static_cast<uint8_t>(digest.size());
    hash.bytes = digest;
    return hash;
  }

  bool empty() const { return size == 0; }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes.data()), size}; }
  std::string ToHex() const;

  friend bool operator==(const PrefixHash&, const PrefixHash&) = default;
};

// Name of a space on the wire: the first 8 bytes of its digest, little-endian. Servers compare the
// whole digest of every frame.
using SpaceId = uint64_t;

SpaceId SpaceIdOf(const Digest& space_digest);

std::string ToHex(std::span<const uint8_t> bytes);
// nullopt unless `hex` is an even number of hex digits.
std::optional<std::string> FromHex(std::string_view hex);

}  // namespace larder
