#include "server/store/fingerprint.h"

#include <set>

#include "gtest/gtest.h"

namespace larder::server {
namespace {

PrefixHash Hash(uint8_t size, uint8_t fill) {
  PrefixHash hash;
  hash.size = size;
  for (uint8_t i = 0; i < size; ++i) hash.bytes[i] = fill;
  return hash;
}

TEST(FingerprintTest, EveryPartOfTheKeyAndTheSecretCounts) {
  const Fingerprinter one(RandomSecret()), other(RandomSecret());
  std::set<std::pair<uint64_t, uint64_t>> seen;
  const auto fresh = [&seen](const Fingerprint& f) { return seen.insert({f.low, f.high}).second; };
  EXPECT_TRUE(fresh(one.Of(1, Hash(32, 7))));
  EXPECT_TRUE(fresh(one.Of(2, Hash(32, 7))));
  EXPECT_TRUE(fresh(one.Of(1, Hash(32, 8))));
  EXPECT_TRUE(fresh(other.Of(1, Hash(32, 7))));
  // A shorter hash is another key, also where its tail would be the same zeros.
  for (uint8_t size = 1; size < 32; ++size) EXPECT_TRUE(fresh(one.Of(1, Hash(size, 0))));
}

TEST(FingerprintTest, IsAFunctionOfTheKey) {
  const Fingerprinter fingerprinter(RandomSecret());
  EXPECT_EQ(fingerprinter.Of(9, Hash(20, 3)), fingerprinter.Of(9, Hash(20, 3)));
}

}  // namespace
}  // namespace larder::server
