// What every DeviceArena must do, run over the fake and, where there is a device, over CUDA.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/memory/cuda_arena.h"
#include "tests/fakes/fake_device_arena.h"

namespace larder::server {
namespace {

constexpr uint64_t kArenaBytes = uint64_t{64} << 20;
constexpr auto kPatience = std::chrono::seconds(60);

struct ArenaCase {
  std::string name;
  std::function<std::unique_ptr<DeviceArena>()> make;  // null: not on this machine
};

std::unique_ptr<DeviceArena> MakeCuda() {
  // Buffers that most copies are longer than, and not a multiple of.
  auto arena = CreateCudaArena({.bytes = kArenaBytes, .staging_bytes = 100'000});
  return arena.ok() ? *std::move(arena) : nullptr;
}

using Bytes = std::vector<std::byte>;

Bytes RandomBytes(size_t size, std::mt19937_64& random) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// `bytes` cut into at most four ranges.
HostRanges Cut(Bytes& bytes, std::mt19937_64& random) {
  HostRanges ranges;
  std::span<std::byte> rest(bytes);
  while (ranges.size() < 3 && rest.size() > 1) {
    const size_t step = 1 + random() % (rest.size() - 1);
    ranges.push_back(rest.first(step));
    rest = rest.subspan(step);
  }
  ranges.push_back(rest);
  return ranges;
}

class DeviceArenaConformance : public testing::TestWithParam<ArenaCase> {
 protected:
  void SetUp() override {
    arena_ = GetParam().make();
    if (arena_ == nullptr)
      GTEST_SKIP() << "no CUDA device on this machine, or a build without CUDA";
  }

  CopyEnd Copy(bool in, const DeviceRanges& device, const HostRanges& host) {
    std::promise<CopyEnd> ended;
    DeviceCopy copy{device, host, [&](CopyEnd end) { ended.set_value(end); }};
    EXPECT_TRUE(in ? arena_->CopyIn(std::move(copy)) : arena_->CopyOut(std::move(copy)));
    auto end = ended.get_future();
    if (end.wait_for(kPatience) != std::future_status::ready) std::abort();  // `ended` is in use
    return end.get();
  }

  std::unique_ptr<DeviceArena> arena_;
};

TEST_P(DeviceArenaConformance, HasTheBytesItWasMadeWith) {
  EXPECT_EQ(arena_->bytes(), kArenaBytes);
  EXPECT_FALSE(arena_->lost());
}

TEST_P(DeviceArenaConformance, GivesBackWhatItWasGivenHoweverItIsCut) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    const size_t size = 2 + random() % (round % 5 == 0 ? 3'000'000 : 5'000);
    Bytes written = RandomBytes(size, random);
    // Two ranges of the device, the second before the first.
    const uint64_t first = 1 + random() % (size - 1);
    const DeviceRanges device = {{kArenaBytes / 2 + random() % 1'000, first},
                                 {random() % 1'000, size - first}};
    ASSERT_EQ(Copy(true, device, Cut(written, random)), CopyEnd::kDone);
    Bytes read(size);
    ASSERT_EQ(Copy(false, device, Cut(read, random)), CopyEnd::kDone);
    ASSERT_EQ(read, written) << "round " << round;
  }
}

TEST_P(DeviceArenaConformance, EndsCopiesOfADirectionInTheirOrder) {
  std::mt19937_64 random(7);
  constexpr int kCopies = 40;
  std::vector<Bytes> blocks;
  for (int i = 0; i < kCopies; ++i) blocks.push_back(RandomBytes(1 + random() % 300'000, random));
  std::vector<int> ended;
  std::promise<void> all;
  for (int i = 0; i < kCopies; ++i) {
    ASSERT_TRUE(arena_->CopyIn({{{0, blocks[i].size()}}, {blocks[i]}, [&, i](CopyEnd end) {
                                  EXPECT_EQ(end, CopyEnd::kDone);
                                  ended.push_back(i);
                                  if (i == kCopies - 1) all.set_value();
                                }}));
  }
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  for (int i = 0; i < kCopies; ++i) EXPECT_EQ(ended[i], i);
  Bytes last(blocks.back().size());
  ASSERT_EQ(Copy(false, {{0, last.size()}}, {last}), CopyEnd::kDone);
  EXPECT_EQ(last, blocks.back());
}

TEST_P(DeviceArenaConformance, EndsEveryCopyExactlyOnceWhenItIsDestroyed) {
  Bytes block(1'000'000);
  std::atomic<int> ended = 0;
  int begun = 0;
  for (int i = 0; i < 60; ++i) {
    begun += arena_->CopyIn({{{0, block.size()}}, {block}, [&](CopyEnd) { ++ended; }});
    Bytes* target = new Bytes(1'000);
    const bool out = arena_->CopyOut({{{0, 1'000}}, {*target}, [&, target](CopyEnd) {
                                        delete target;
                                        ++ended;
                                      }});
    begun += out;
    if (!out) delete target;
  }
  arena_.reset();
  EXPECT_EQ(ended.load(), begun);
  EXPECT_GE(begun, 60);
}

INSTANTIATE_TEST_SUITE_P(
    Arenas, DeviceArenaConformance,
    testing::Values(ArenaCase{"Fake",
                              [] { return std::make_unique<FakeDeviceArena>(kArenaBytes); }},
                    ArenaCase{"Cuda", MakeCuda}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace larder::server
