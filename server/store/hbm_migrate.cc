#include "server/store/hbm_migrate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "server/base/log.h"
#include "server/tier/byte_spans.h"

namespace larder::server {
namespace {

constexpr auto kIdleWait = std::chrono::milliseconds(10);
// While gets wait: they are answered this much late at most, within their margin.
constexpr auto kReadingWait = std::chrono::milliseconds(1);
// Blocks that were held when the device was lost are looked for again this often.
constexpr auto kSweepEvery = std::chrono::seconds(1);
// What is kept free of memory: one in so many bytes, or two blocks, and never more than a quarter.
constexpr uint64_t kFreeOneIn = 32;
constexpr uint64_t kFreeOneInMax = 4;

}  // namespace

HbmMigrate::HbmMigrate(const Options& options) : options_(options), thread_([this] { Run(); }) {}

HbmMigrate::~HbmMigrate() { Stop(); }

void HbmMigrate::Wake() {
  {
    MutexLock lock(mutex_);
    woken_ = true;
  }
  wake_.NotifyOne();
}

void HbmMigrate::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  wake_.NotifyOne();
  if (!thread_.joinable()) return;
  thread_.join();
  while (options_.hbm.copies() > 0) {
    options_.reads.EndLate();
    std::this_thread::sleep_for(kReadingWait);
  }
}

void HbmMigrate::Run() {
  for (;;) {
    if (options_.hbm.lost()) {
      Lose();
    } else {
      BringWanted();
      MoveOut();
    }
    const bool reading = options_.reads.EndLate() > 0;
    MutexLock lock(mutex_);
    if (stop_) return;
    if (!woken_)
      wake_.WaitFor(mutex_, reading ? kReadingWait : std::chrono::milliseconds(kIdleWait));
    woken_ = false;
  }
}

void HbmMigrate::Lose() {
  const TimePoint now = options_.clock.Now();
  if (!lost_) {
    LogError("the device of the HBM tier is lost: the server goes on without it",
             {{"blocks", options_.blocks.stats().hbm_blocks}});
  } else if (now - swept_ < kSweepEvery || options_.blocks.stats().hbm_blocks == 0) {
    return;
  }
  lost_ = true;
  options_.blocks.LoseHbm();
  swept_ = now;
}

void HbmMigrate::BringWanted() {
  while (auto block = options_.blocks.NextWantedFromHbm()) {
    options_.reads.Bring(*std::move(block));
  }
}

bool HbmMigrate::NeedsRoom() const {
  const TierUsage usage = options_.dram.usage();
  const uint64_t wanted = std::min(std::max(usage.budget_bytes / kFreeOneIn, 2 * frame_bytes_seen_),
                                   usage.budget_bytes / kFreeOneInMax);
  return usage.budget_bytes - usage.used_bytes + moving_bytes_.load() < wanted;
}

void HbmMigrate::MoveOut() {
  while (NeedsRoom() && !options_.draining.load() && moving_.load() < kMovesMax &&
         moving_bytes_.load() < options_.bytes_max && options_.clock.Now() >= move_again_.load()) {
    auto move = options_.blocks.BeginHbmMove();
    if (!move) return;
    const uint64_t bytes = BytesOf(move->spans);
    frame_bytes_seen_ = std::max(frame_bytes_seen_, bytes);
    ++moving_;
    moving_bytes_ += bytes;
    const HostRanges source(move->spans.begin(), move->spans.end());
    const SlabRef slab = move->slab;
    const auto shared = std::make_shared<BlockStore::HbmMove>(*std::move(move));
    if (!options_.hbm.Fill(slab, source,
                           [this, shared](CopyEnd end) { Moved(std::move(*shared), end); })) {
      Moved(std::move(*shared), CopyEnd::kFailed);
    }
  }
}

void HbmMigrate::Moved(BlockStore::HbmMove move, CopyEnd end) {
  const uint64_t bytes = BytesOf(move.spans);
  if (end == CopyEnd::kFailed) move_again_.store(options_.clock.Now() + kFailedPause);
  if (options_.blocks.EndHbmMove(std::move(move), end == CopyEnd::kDone)) {
    ++moved_;
    moved_bytes_ += bytes;
  } else {
    ++skipped_;
  }
  moving_bytes_ -= bytes;
  --moving_;
  Wake();
}

HbmMigrate::Stats HbmMigrate::stats() const {
  return {.moved = moved_.load(),
          .moved_bytes = moved_bytes_.load(),
          .skipped = skipped_.load(),
          .lost = options_.hbm.lost()};
}

}  // namespace larder::server
