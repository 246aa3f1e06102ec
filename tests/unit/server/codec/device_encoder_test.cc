#include "server/codec/device_encoder.h"

#include <gtest/gtest.h>

#include <thread>

#include "server/codec/cuda_coder.h"
#include "server/memory/cuda_arena.h"
#include "tests/fakes/fake_device_coder.h"
#include "tests/gpu/frame_check.h"
#include "tests/unit/kernels/codec/coder_fixture.h"

namespace larder::server {
namespace {

using std::chrono::milliseconds;

// What the host makes of the same block, header and payload.
std::vector<std::byte> HostFrame(const BlockToEncode& block) {
  BlockCoder coder;
  return coder.Encode(block.recipe, block.identity, block.shape, block.raw, block.source_root)
      .frame;
}

std::vector<std::byte> FrameOf(const DeviceEncoder::Encoded& encoded) {
  std::vector<std::byte> frame = encoded.parts.header;
  frame.insert(frame.end(), encoded.parts.payload.begin(), encoded.parts.payload.end());
  return frame;
}

DeviceEncoder::Options Patient(milliseconds patience = milliseconds(20'000)) {
  return {.patience = patience, .failures_max = 3, .raw_bytes_min = 0};
}

struct CoderCase {
  const char* name;
  std::unique_ptr<DeviceCoder> (*make)();
};

std::unique_ptr<DeviceCoder> MakeEmulated() { return std::make_unique<FakeDeviceCoder>(2); }

std::unique_ptr<DeviceCoder> MakeCuda() {
  CudaCoderOptions options;
  options.slots = 2;
  auto coder = CreateCudaCoder(options);
  return coder.ok() ? *std::move(coder) : nullptr;
}

class DeviceEncoderCases : public testing::TestWithParam<CoderCase> {};

TEST_P(DeviceEncoderCases, MakesTheFramesOfTheHost) {
  auto coder = GetParam().make();
  if (coder == nullptr && CudaDeviceCount() == 0) GTEST_SKIP() << "needs a CUDA device";
  ASSERT_NE(coder, nullptr);
  Metrics metrics;
  DeviceEncoder encoder(std::move(coder), Patient(), metrics);
  const Checksum128 root{.low = 9, .high = 7};
  uint64_t coded = 0, fallbacks = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const FrameCase of = RandomFrameCase(seed, /*spoil=*/seed % 3 == 0);
    FrameIdentity identity = IdentityAt(of.token_begin);
    for (uint32_t i = 0; i < of.blocks; ++i) {
      const BlockToEncode block{of.recipe, identity, of.shape, of.Raw(i), root};
      const auto encoded = encoder.Encode(block);
      if (!encoded) {  // nothing of it is to be coded
        const auto codecs = of.codecs();
        ASSERT_TRUE(std::ranges::all_of(
            codecs, [](const StreamCodec& codec) { return codec.id == CodecId::kRaw; }));
        continue;
      }
      ASSERT_EQ(FrameOf(*encoded), HostFrame(block));
      coded += encoded->parts.coded_streams;
      fallbacks += encoded->parts.fallback_streams;
    }
  }
  EXPECT_GT(coded, 100u);
  EXPECT_GT(fallbacks, 20u);
  EXPECT_TRUE(encoder.on());
}

INSTANTIATE_TEST_SUITE_P(Coders, DeviceEncoderCases,
                         testing::Values(CoderCase{"Emulated", MakeEmulated},
                                         CoderCase{"Cuda", MakeCuda}),
                         [](const auto& info) { return std::string(info.param.name); });

class DeviceEncoderTest : public testing::Test {
 protected:
  // An encoder over a fake device; what it has to do is one small block.
  void Begin(size_t slots, milliseconds patience) {
    auto coder = std::make_unique<FakeDeviceCoder>(slots);
    device = coder.get();
    encoder.emplace(std::move(coder), Patient(patience), metrics);
  }
  BlockToEncode Block() const { return {recipe, IdentityAt(0), shape, raw, Checksum128{}}; }
  uint64_t Count(const char* end) {
    const std::string line = "larder_encode_device_blocks_total{end=\"" + std::string(end) + "\"} ";
    const std::string text = metrics.Scrape();
    const size_t at = text.find(line);
    return at == std::string::npos ? 0 : std::stoull(text.substr(at + line.size()));
  }

  const BlockRecipe recipe = RecipeOf("fp8");
  const KvShape shape = AttentionShape();
  const std::vector<std::byte> raw = GaussianBlock(shape, 1);
  Metrics metrics;
  FakeDeviceCoder* device = nullptr;
  std::optional<DeviceEncoder> encoder;
};

TEST_F(DeviceEncoderTest, LeavesTheDeviceAloneAfterFailuresInARow) {
  Begin(2, milliseconds(20'000));
  device->Act(DeviceAct::kFails);
  EXPECT_FALSE(encoder->Encode(Block()));
  device->Act(DeviceAct::kRefuses);
  EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_TRUE(encoder->on());
  device->Act(DeviceAct::kWorks);
  EXPECT_TRUE(encoder->Encode(Block()));  // which forgives the two
  device->Act(DeviceAct::kFails);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_FALSE(encoder->on());
  device->Act(DeviceAct::kWorks);
  EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_EQ(Count("failed"), 5u);
  EXPECT_EQ(Count("done"), 1u);
}

TEST_F(DeviceEncoderTest, LeavesADeviceAloneThatMakesOtherBytes) {
  Begin(1, milliseconds(20'000));
  EXPECT_TRUE(encoder->Encode(Block()));
  EXPECT_TRUE(encoder->Encode(Block()));
  const BlockRecipe other = RecipeOf("q8q4");
  device->Act(DeviceAct::kLies);
  EXPECT_FALSE(encoder->Encode({other, IdentityAt(0), shape, raw, Checksum128{}}));
  EXPECT_EQ(Count("differs"), 1u);
  EXPECT_FALSE(encoder->on());
  device->Act(DeviceAct::kWorks);
  EXPECT_FALSE(encoder->Encode(Block()));
}

TEST_F(DeviceEncoderTest, WaitsNoLongerThanItsPatienceAndKeepsTheSlotOfALateBlock) {
  Begin(1, milliseconds(10));
  device->Act(DeviceAct::kStalls);
  EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_EQ(Count("late"), 1u);
  device->Act(DeviceAct::kWorks);
  EXPECT_FALSE(
      encoder->Encode(Block()));  // the fake checks that nothing starts in a slot that runs
  EXPECT_EQ(Count("busy"), 1u);
  device->Release();
  // A loaded machine may be late again, thrice, and then the device stays off.
  bool made = false;
  for (int i = 0; i < 2'000 && !made && encoder->on(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
    const auto encoded = encoder->Encode(Block());
    made = encoded.has_value();
    if (made) {
      EXPECT_EQ(FrameOf(*encoded), HostFrame(Block()));
    }
  }
  EXPECT_TRUE(made || !encoder->on());
}

TEST_F(DeviceEncoderTest, GivesASlotBackWithItsBlock) {
  Begin(1, milliseconds(20'000));
  auto held = encoder->Encode(Block());
  ASSERT_TRUE(held);
  EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_EQ(Count("busy"), 1u);
  EXPECT_EQ(FrameOf(*held), HostFrame(Block()));
  held.reset();
  EXPECT_TRUE(encoder->Encode(Block()));
}

TEST_F(DeviceEncoderTest, LeavesSmallAndUnfitBlocksToTheHost) {
  Begin(1, milliseconds(20'000));
  device->Act(DeviceAct::kUnfit);
  EXPECT_FALSE(encoder->Encode(Block()));
  EXPECT_EQ(Count("unfit"), 1u);
  EXPECT_TRUE(encoder->on());
  auto options = Patient();
  options.raw_bytes_min = raw.size() + 1;
  DeviceEncoder choosy(std::make_unique<FakeDeviceCoder>(1), options, metrics);
  EXPECT_FALSE(choosy.Encode(Block()));
  EXPECT_EQ(Count("done"), 0u);
}

TEST_F(DeviceEncoderTest, GivesManyThreadsTheHostsFramesOrNone) {
  Begin(2, milliseconds(20'000));
  const std::vector<std::byte> want = HostFrame(Block());
  std::atomic<int> made{0}, other{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        if (t == 0) device->Act(i % 10 == 7 ? DeviceAct::kFails : DeviceAct::kWorks);
        const auto encoded = encoder->Encode(Block());
        if (!encoded) continue;
        ++made;
        if (FrameOf(*encoded) != want) ++other;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(other.load(), 0);
  EXPECT_GT(made.load(), 0);
}

}  // namespace
}  // namespace larder::server
