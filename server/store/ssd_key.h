// The name of a block on SSD: its fingerprint and its space. The secret behind the fingerprints lies
// beside the catalog (fingerprint_secret.h), so names mean the same after a restart.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "server/store/fingerprint.h"

namespace larder::server {

struct SsdKey {
  Fingerprint fingerprint;
  SpaceId space = 0;

  std::string Bytes() const { return {reinterpret_cast<const char*>(this), sizeof(SsdKey)}; }
  // nullopt when it is not such a name.
  static std::optional<SsdKey> Parse(std::string_view bytes) {
    if (bytes.size() != sizeof(SsdKey)) return std::nullopt;
    SsdKey key;
    std::memcpy(&key, bytes.data(), sizeof(key));
    return key;
  }
};
static_assert(sizeof(SsdKey) == 24);

}  // namespace larder::server
