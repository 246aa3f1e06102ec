#include "server/store/fingerprint.h"

#include <openssl/rand.h>
#define XXH_INLINE_ALL  // 41 bytes of constant length: inlined, it costs a third of the call
#include <xxhash.h>

#include <cstring>

#include "server/base/check.h"

namespace larder::server {

Fingerprint Fingerprinter::Of(SpaceId space, const PrefixHash& hash) const {
  // Fixed-size message: the hash's tail is zero and its size is in, so no two keys give the same
  // bytes.
  uint8_t message[sizeof(SpaceId) + 1 + kPrefixHashBytesMax];
  std::memcpy(message, &space, sizeof(space));
  message[sizeof(space)] = hash.size;
  std::memcpy(message + sizeof(space) + 1, hash.bytes.data(), kPrefixHashBytesMax);
  const XXH128_hash_t digest =
      XXH3_128bits_withSecret(message, sizeof(message), secret_.data(), secret_.size());
  return {digest.low64, digest.high64};
}

std::array<uint8_t, Fingerprinter::kSecretBytes> RandomSecret() {
  std::array<uint8_t, Fingerprinter::kSecretBytes> secret;
  LARDER_CHECK(RAND_bytes(secret.data(), static_cast<int>(secret.size())) == 1);
  return secret;
}

}  // namespace larder::server
