#include "proto/contract/block_key.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>
#include <thread>

namespace larder {
namespace {

TEST(PrefixHashTest, HoldsUpToThirtyTwoBytes) {
  for (const size_t size : {0, 1, 8, 31, 32}) {
    const std::string raw(size, '\xAB');
    const auto hash = PrefixHash::From(raw);
    ASSERT_TRUE(hash.has_value()) << size;
    EXPECT_EQ(hash->view(), raw);
    EXPECT_EQ(hash->empty(), size == 0);
  }
  EXPECT_FALSE(PrefixHash::From(std::string(33, 'x')).has_value());
  EXPECT_TRUE(PrefixHash::From(std::string_view())->empty());
}

TEST(PrefixHashTest, TellsShorterHashFromZeroPaddedOne) {
  const auto shorter = PrefixHash::From(std::string(4, '\0'));
  const auto longer = PrefixHash::From(std::string(5, '\0'));
  EXPECT_NE(*shorter, *longer);
  EXPECT_EQ(*shorter, *PrefixHash::From(std::string(4, '\0')));
}

TEST(PrefixHashTest, ShowsItselfAsHex) {
  EXPECT_EQ(PrefixHash::From(std::string("\x00\x9F\xFF", 3))->ToHex(), "009fff");
  EXPECT_EQ(PrefixHash().ToHex(), "");
}

TEST(HexTest, ReadsBackWhatItWrites) {
  const uint64_t seed = std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 1000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const std::string hex = ToHex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    ASSERT_EQ(FromHex(hex), bytes) << hex;
  }
}

TEST(HexTest, RefusesWhatIsNotHex) {
  EXPECT_EQ(FromHex("aAfF09"), "\xAA\xFF\x09");
  EXPECT_EQ(FromHex(""), "");
  EXPECT_EQ(FromHex("abc"), std::nullopt);
  for (const char* text : {"0g", "g0", "0x", " 1", "1 ", "-1", "/0", ":0", "@0", "`0"}) {
    EXPECT_EQ(FromHex(text), std::nullopt) << text;
  }
}

TEST(SpaceIdTest, IsTheFirstEightBytesLittleEndian) {
  Digest digest{};
  for (int i = 0; i < 32; ++i) digest[i] = static_cast<uint8_t>(i + 1);
  EXPECT_EQ(SpaceIdOf(digest), 0x0807060504030201u);
}

// FIPS 180-2, appendix B.
TEST(Sha256Test, MatchesPublishedVectors) {
  EXPECT_EQ(ToHex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, ThreadsDoNotDisturbOneAnother) {
  constexpr int kThreads = 4;
  std::array<int, kThreads> wrong{};
  std::array<std::thread, kThreads> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads[t] = std::thread([t, &wrong] {
      const std::string mine(100 + t, static_cast<char>('a' + t));
      const Digest expected = Sha256(mine);
      for (int i = 0; i < 2000; ++i) wrong[t] += Sha256(mine) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, kThreads>{}));
}

}  // namespace
}  // namespace larder
