// 128-bit fingerprint of a block key (space, prefix hash), keyed by a secret drawn at server start.
//
// The index compares fingerprints, not keys: that saves 32 bytes a block. Two keys share one with
// probability 2^-128, and nobody without the secret can look for such a pair. It still could never
// return wrong bytes: fetch compares the whole key with the frame's own header. Source: XXH3-128
// with a custom secret (xxHash).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proto/contract/block_key.h"

namespace larder::server {

struct Fingerprint {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// Thread-safe (immutable).
class Fingerprinter {
 public:
  static constexpr size_t kSecretBytes = 192;  // XXH3's own secret size
  explicit Fingerprinter(const std::array<uint8_t, kSecretBytes>& secret) : secret_(secret) {}

  Fingerprint Of(SpaceId space, const PrefixHash& hash) const;

 private:
  std::array<uint8_t, kSecretBytes> secret_;
};

// A secret from the operating system's random source.
std::array<uint8_t, Fingerprinter::kSecretBytes> RandomSecret();

}  // namespace larder::server
