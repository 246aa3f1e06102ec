#include "proto/contract/block_key.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

namespace larder {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

Context NewSha256Context() {
  Context context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    std::abort();  // no memory, or an OpenSSL without SHA-256: no key can be made
  }
  return context;
}

int HexValue(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

Digest Sha256(std::string_view bytes) {
  // A request hashes thousands of small blocks; OpenSSL 3 looks the algorithm up by name for every
  // new context, which costs more than the hash.
  thread_local const Context context = NewSha256Context();
  Digest digest;
  if (EVP_DigestInit_ex(context.get(), nullptr, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
    std::abort();  // as above
  }
  return digest;
}

std::string PrefixHash::ToHex() const { return larder::ToHex({bytes.data(), size}); }

SpaceId SpaceIdOf(const Digest& space_digest) {
  SpaceId id = 0;
  for (int i = 7; i >= 0; --i) id = id << 8 | space_digest[i];
  return id;
}

std::string ToHex(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::optional<std::string> FromHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexValue(hex[i]);
    const int low = HexValue(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

}  // namespace larder
