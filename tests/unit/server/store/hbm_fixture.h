// A store over memory for kBlocks blocks and an HBM tier for as many, over a device arena.
#pragma once

#include <memory>
#include <set>

#include "server/memory/device_arena.h"
#include "server/tier/device_tier.h"
#include "tests/fakes/fake_device_arena.h"
#include "tests/unit/server/store/tiers_fixture.h"

namespace larder::server {

// Constructed before the store that uses it, destroyed after.
class HbmHolder {
 protected:
  explicit HbmHolder(std::unique_ptr<DeviceArena> arena) : arena(std::move(arena)) {}

  std::unique_ptr<DeviceArena> arena;
  DeviceTier hbm{*arena};
};

class HbmStore : private FakeSsdDisk,
                 protected SsdHolder,
                 protected HbmHolder,
                 public StoreFixture {
 protected:
  static constexpr uint64_t kHbmBlocks = 8;
  static constexpr uint64_t kBlockBytes = kFrameGranules * kGranuleBytes;

  explicit HbmStore(std::unique_ptr<DeviceArena> arena, bool with_ssd = false, Config config = {})
      : SsdHolder(static_cast<FakeSsdDisk&>(*this), uint64_t{1} << 30),
        HbmHolder(std::move(arena)),
        StoreFixture(config, kBlocks * kBlockBytes, with_ssd ? &parts : nullptr, &hbm) {}
  ~HbmStore() override {
    ssd.Release();
    store.StopMigrate();
    EXPECT_EQ(hbm.usage().slabs, store.blocks().stats().hbm_blocks);
  }

  TierKind TierOf(uint64_t number) { return Look(number, number).blocks.at(0).tier(); }
  bool Settled() {
    return Eventually([this] {
      return hbm.copies() == 0 &&
             tier.usage().budget_bytes - tier.usage().used_bytes >= 2 * kBlockBytes;
    });
  }
  // Puts heads of chains one after the other, so that the first is the first to leave memory, or one
  // chain; what has to move has moved before the next comes.
  void PutSlowly(uint64_t first, uint64_t last, bool chain = false) {
    for (uint64_t number = first; number <= last; ++number) {
      const uint64_t parent = !chain || number == first ? 0 : number - 1;
      ASSERT_EQ(Put(number, parent), PutOutcome::kStored) << number;
      ASSERT_TRUE(number < kBlocks || Settled()) << number;
    }
  }
  std::set<uint64_t> In(TierKind kind, uint64_t first, uint64_t last) {
    std::set<uint64_t> numbers;
    for (uint64_t number = first; number <= last; ++number) {
      const auto blocks = Look(number, number).blocks;
      if (!blocks.empty() && blocks[0].tier() == kind) numbers.insert(number);
    }
    return numbers;
  }
  // A get's answer, when it has come.
  struct Asked {
    std::unique_ptr<FetchSession> session;
    std::atomic<bool> answered{false};
    FetchAnswer answer = MissReason::kNone;
  };
  std::unique_ptr<Asked> Ask(uint64_t number, const FetchSession::Options& options = {}) {
    auto asked = std::make_unique<Asked>();
    asked->session =
        std::make_unique<FetchSession>(store.OpenFetch(*space, {HashOf(number)}, options));
    asked->session->Next([raw = asked.get()](FetchAnswer answer) {
      raw->answer = std::move(answer);
      raw->answered.store(true);
    });
    return asked;
  }
  // The frame of a get, however long it takes; empty on a miss, whose reason goes to `reason`.
  Bytes Fetch(uint64_t number, MissReason* reason = nullptr,
              const FetchSession::Options& options = {}) {
    const auto asked = Ask(number, options);
    EXPECT_TRUE(Eventually([&] { return asked->answered.load(); }));
    if (auto* miss = std::get_if<MissReason>(&asked->answer)) {
      if (reason != nullptr) *reason = *miss;
      return {};
    }
    Bytes bytes;
    for (const auto span : std::get<PinnedFrame>(asked->answer).spans) {
      bytes.insert(bytes.end(), span.begin(), span.end());
    }
    return bytes;
  }
};

// Over the fake device.
class HbmTest : public HbmStore {
 protected:
  explicit HbmTest(bool with_ssd = false, uint64_t blocks = kHbmBlocks)
      : HbmStore(std::make_unique<FakeDeviceArena>(blocks * kBlockBytes), with_ssd) {}
  ~HbmTest() override { device().Release(); }
  FakeDeviceArena& device() { return static_cast<FakeDeviceArena&>(*arena); }
};

}  // namespace larder::server
