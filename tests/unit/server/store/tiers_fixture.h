// A store over memory for kBlocks blocks and a fake SSD tier.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "tests/fakes/fake_ssd_tier.h"
#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {

// Waits for what the background does; false when it does not come.
inline bool Eventually(const std::function<bool()>& holds) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Constructed before the store that uses it, destroyed after.
class SsdHolder {
 protected:
  explicit SsdHolder(FakeSsdDisk& disk, uint64_t capacity_bytes)
      : ssd(disk, capacity_bytes),
        parts{ssd,
              {},
              [this](const std::function<void(const SsdEntry&)>& visit) {
                return ssd.Recover(visit);
              },
              [this](SsdOwner& started) { owner = &started; }} {}

  FakeSsdTier ssd;
  SsdOwner* owner = nullptr;
  SsdParts parts;
};

class TieredStore : protected SsdHolder, public StoreFixture {
 public:
  using StoreFixture::clock;
  using StoreFixture::space;
  using StoreFixture::store;

 protected:
  explicit TieredStore(FakeSsdDisk& disk, Config config = {},
                       uint64_t capacity_bytes = uint64_t{1} << 30)
      : SsdHolder(disk, capacity_bytes),
        StoreFixture(config, kBlocks * kFrameGranules * kGranuleBytes, &parts) {
    EXPECT_TRUE(store.migrate()->recovered().ok());
  }
  ~TieredStore() override {
    ssd.Release();
    store.StopMigrate();
  }

  bool AllWritten() {
    return Eventually([this] {
      const auto stats = store.migrate()->stats();
      return stats.queued == 0 && stats.in_flight_bytes == 0 &&
             store.blocks().stats().pinned_blocks == 0;
    });
  }
  // Puts block by block, each on SSD before the next comes: heads of chains, so that the first is the
  // first to leave memory, or one chain.
  void PutWritten(uint64_t first, uint64_t last, bool chain = false) {
    for (uint64_t number = first; number <= last; ++number) {
      ASSERT_EQ(Put(number, !chain || number == first ? 0 : number - 1), PutOutcome::kStored)
          << number;
      ASSERT_TRUE(AllWritten());
    }
  }
  // The block lies on SSD alone.
  bool OnSsdAlone(uint64_t number) {
    const auto found = store.blocks().PinFrame(*space, HashOf(number), Fidelity::kUnspecified);
    const auto* frame = std::get_if<PinnedFrame>(&found);
    return frame != nullptr && !frame->residency.in_memory();
  }
};

class TiersTest : private FakeSsdDisk, public TieredStore {
 protected:
  explicit TiersTest(Config config = {}, uint64_t capacity_bytes = uint64_t{1} << 30)
      : TieredStore(static_cast<FakeSsdDisk&>(*this), config, capacity_bytes) {}
  FakeSsdDisk& disk() { return *this; }
};

}  // namespace larder::server
