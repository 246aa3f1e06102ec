#include "server/store/fingerprint.h"

#include <openssl/rand.h>
#define XXH_INLINE_ALL  // 48 bytes of constant length: inlined, it costs a third of the call
#include <xxhash.h>

#include "server/base/check.h"
#include "server/base/planted_bug.h"

namespace larder::server {

Fingerprint Fingerprinter::Of(SpaceId space, const PrefixHash& hash) const {
  // Fixed-size message: the hash's tail is zero and its size is in, so no two keys give the same
  // bytes. Words of 8 bytes throughout, so that the hash reads what was just written without a stall.
  struct Message {
    std::array<uint8_t, kPrefixHashBytesMax> bytes;
    uint64_t space;
    uint64_t size;
  };
  static_assert(sizeof(Message) == 48);
  const Message message{hash.bytes, PlantedBug("key.without_space") ? 0 : space, hash.size};
  const XXH128_hash_t digest =
      XXH3_128bits_withSecret(&message, sizeof(message), secret_.data(), secret_.size());
  return {digest.low64, digest.high64};
}

std::array<uint8_t, Fingerprinter::kSecretBytes> RandomSecret() {
  std::array<uint8_t, Fingerprinter::kSecretBytes> secret;
  LARDER_CHECK(RAND_bytes(secret.data(), static_cast<int>(secret.size())) == 1);
  return secret;
}

}  // namespace larder::server
