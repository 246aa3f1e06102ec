#include "server/ssd/ssd_engine.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/base/fault_point.h"
#include "server/base/log.h"
#include "server/ssd/reclaimer.h"
#include "server/ssd/scrubber.h"

namespace larder::server {
namespace {

constexpr std::chrono::milliseconds kMaintenanceInterval{20};
constexpr std::chrono::seconds kGrowRetry{5};  // after the disk had no room for another segment

}  // namespace

SsdTier::Engine::Engine(SsdOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {}

// Top down: whoever uses a part goes before it. Writer and committer end what was appended.
SsdTier::Engine::~Engine() {
  if (maintenance_.joinable()) {
    maintenance_.request_stop();
    maintenance_.join();
  }
  writer_.reset();
  committer_.reset();
  reader_.reset();
  deadlines_.reset();
}

void SsdTier::Engine::StartWriting() {
  committer_ =
      std::make_unique<Committer>(Committer::Parts{.devices = devices_,
                                                   .segments = *segments_,
                                                   .catalog = *catalog_,
                                                   .counters = counters_,
                                                   .budget = *budget_,
                                                   .clock = clock_,
                                                   .commit_interval = options_.commit_interval,
                                                   .retry_interval = options_.probe_interval});
  writer_ = std::make_unique<SegmentWriter>(
      SegmentWriter::Parts{.devices = devices_,
                           .segments = *segments_,
                           .buffers = *buffers_,
                           .counters = counters_,
                           .clock = clock_,
                           .tier = superblock_.tier,
                           .seed = superblock_.seed},
      SegmentWriter::Options{.queue_bytes = options_.append_queue_bytes,
                             .commit_interval = options_.commit_interval,
                             .first_sequence = sequence_ + 1},
      [this](std::shared_ptr<AppendOperation> operation) {
        committer_->Take(std::move(operation));
      });
  maintenance_ = std::jthread([this](const std::stop_token& stopped) { Maintain(stopped); });
}

void SsdTier::Engine::Start(SsdOwner& owner) {
  LARDER_CHECK(recovered_ && owner_.exchange(&owner) == nullptr);
}

absl::Status SsdTier::Engine::Append(SsdAppend append, AppendOperation::Done done) {
  LARDER_CHECK(recovered_);
  const SsdRecord& record = append.record;
  if (record.key.empty() || record.key.size() > kSsdKeyBytesMax ||
      record.parent.size() > kSsdKeyBytesMax) {
    return InvalidField("key of a block on SSD", absl::StrCat(record.key.size(), " bytes"),
                        absl::StrCat("1 to ", kSsdKeyBytesMax));
  }
  auto operation = std::make_shared<AppendOperation>(
      std::move(append.record), std::move(append.frame), AppendOperation::Done());
  if (operation->frame_bytes == 0 || operation->frame_bytes > frame_bytes_max()) {
    return InvalidField("frame on SSD", absl::StrCat(operation->frame_bytes, " bytes"),
                        absl::StrCat("1 to ", frame_bytes_max()));
  }
  if (health() == SsdHealth::kOffline || !committer_->catalog_works()) {
    return StorageFailed("writing a block", "the SSD tier is offline");
  }
  if (const WriteBudget::Day today = budget_->Today(); today.left == 0) {
    return OverLimit("bytes written to SSD today", today.bytes, options_.write_bytes_per_day);
  }
  if (catalog_is_full_.load(std::memory_order_relaxed)) {
    return OverLimit("bytes of the SSD tier's catalog", catalog_->file_bytes(),
                     options_.budget_bytes / kCatalogShare);
  }
  operation->urgent = append.urgent;
  uint64_t id = 0;
  {
    MutexLock lock(mutex_);
    id = ++next_append_;
    outstanding_.insert(id);
  }
  const auto deadline = std::make_shared<DeadlineTable::Id>();
  operation->SetDone([this, id, deadline, done = std::move(done)](auto result) {
    deadlines_->Remove(*deadline);
    done(std::move(result));
    MutexLock lock(mutex_);
    outstanding_.erase(id);
    changed_.NotifyAll();
  });
  const auto expire = [this, weak = std::weak_ptr(operation)] {
    const auto late = weak.lock();
    if (late == nullptr) return;
    if (late->End(DeadlineSpent("writing a block to SSD"))) Add(counters_.over_deadline);
  };
  // Before the push: afterwards it may have ended, and its deadline would stay behind.
  deadlines_->Add(append.deadline, expire, deadline.get());
  absl::Status status = writer_->Push(operation);
  if (!status.ok() && operation->Abandon()) {
    deadlines_->Remove(*deadline);
    MutexLock lock(mutex_);
    outstanding_.erase(id);
    return status;
  }
  return absl::OkStatus();
}

absl::Status SsdTier::Engine::Flush(TimePoint deadline) {
  LARDER_CHECK(recovered_);
  uint64_t last = 0;
  {
    MutexLock lock(mutex_);
    last = next_append_;
  }
  bool ended = false;
  while (!ended && clock_.Now() < deadline) {
    writer_->Flush();
    committer_->Hurry();
    MutexLock lock(mutex_);
    ended = outstanding_.empty() || *outstanding_.begin() > last;
    if (!ended) changed_.WaitFor(mutex_, std::chrono::milliseconds(2));
  }
  if (ended && committer_->Round(deadline)) return absl::OkStatus();
  return DeadlineSpent("flushing the SSD tier");
}

void SsdTier::Engine::EachTick() {
  for (const std::unique_ptr<Device>& device : devices_) {
    if (device != nullptr) device->CheckStall();
  }
}

uint32_t SsdTier::Engine::DeviceCount() const {
  return static_cast<uint32_t>(
      std::count_if(devices_.begin(), devices_.end(),
                    [](const std::unique_ptr<Device>& device) { return device != nullptr; }));
}

// One in reserve for moves, the rest so that appends need not wait for reclaim. Of what the disk grants.
uint32_t SsdTier::Engine::FreeWanted() const {
  const uint32_t segments =
      disk_is_small_ ? segments_->sums().segments : SegmentsMax() * DeviceCount();
  return segments >= 8 ? 3 : 2;
}

bool SsdTier::Engine::Grow() {
  if (clock_.Now() < grow_again_) return false;
  Device* smallest = nullptr;
  for (const std::unique_ptr<Device>& device : devices_) {
    if (device == nullptr || !device->online()) continue;
    const uint32_t count = segments_->CountOf(device->index());
    if (count >= SegmentsMax()) continue;
    if (smallest == nullptr || count < segments_->CountOf(smallest->index())) {
      smallest = device.get();
    }
  }
  if (smallest == nullptr) return false;
  int error = FaultAt("ssd.grow");
  if (error == 0) error = smallest->Reserve(segments_->CountOf(smallest->index()) + 1);
  if (error != 0) {
    grow_again_ = clock_.Now() + kGrowRetry;
    if (!disk_is_small_.exchange(true)) {
      LogWarn("the disk has no room for the whole budget of the SSD tier",
              {{"directory", smallest->directory().path()}, {"errno", error}});
    }
    return false;
  }
  segments_->Add(smallest->index(), /*generation=*/0, 0);
  if (segments_->sums().segments >= SegmentsMax() * DeviceCount()) disk_is_small_ = false;
  return true;
}

void SsdTier::Engine::Maintain(const std::stop_token& stopped) {
  std::unique_ptr<Reclaimer> reclaimer;  // both need an owner: after Start
  std::unique_ptr<Scrubber> scrubber;
  while (!stopped.stop_requested()) {
    if (SsdOwner* owner = owner_.load(); owner != nullptr && reclaimer == nullptr) {
      reclaimer = MakeReclaimer(*owner);
      scrubber = MakeScrubber(*owner);
    }
    budget_->Report(DataBytesWritten() + catalog_->bytes_written());
    catalog_is_full_ = catalog_->file_bytes() > std::max(options_.budget_bytes / kCatalogShare,
                                                         4 * kCatalogWriteBufferBytes);
    const bool short_of_room = segments_->free_segments() < FreeWanted();
    // A disk that had no room is asked again, or nobody would notice that it has some.
    if ((short_of_room || disk_is_small_) && Grow()) continue;
    // Without anything left of the day's budget nothing is appended that would need the room.
    const bool may_move = budget_->Today().left > 0;
    if (short_of_room && may_move && reclaimer != nullptr && reclaimer->ReclaimOne(stopped)) {
      continue;
    }
    if (scrubber != nullptr && scrubber->Step()) continue;
    MutexLock lock(mutex_);
    if (!stopped.stop_requested()) changed_.WaitFor(mutex_, kMaintenanceInterval);
  }
}

std::unique_ptr<Reclaimer> SsdTier::Engine::MakeReclaimer(SsdOwner& owner) {
  return std::make_unique<Reclaimer>(Reclaimer::Parts{.devices = devices_,
                                                      .segments = *segments_,
                                                      .catalog = *catalog_,
                                                      .reader = *reader_,
                                                      .writer = *writer_,
                                                      .committer = *committer_,
                                                      .counters = counters_,
                                                      .clock = clock_,
                                                      .seed = superblock_.seed},
                                     owner);
}

std::unique_ptr<Scrubber> SsdTier::Engine::MakeScrubber(SsdOwner& owner) {
  return std::make_unique<Scrubber>(
      Scrubber::Parts{.devices = devices_,
                      .segments = *segments_,
                      .catalog = *catalog_,
                      .reader = *reader_,
                      .committer = *committer_,
                      .counters = counters_,
                      .clock = clock_,
                      .seed = superblock_.seed,
                      .bytes_per_second = options_.scrub_bytes_per_second},
      owner);
}

uint64_t SsdTier::Engine::DataBytesWritten() const {
  uint64_t bytes = counters_.payload_bytes_written + counters_.moved_bytes_written +
                   counters_.overhead_bytes_written;
  for (const std::unique_ptr<Device>& device : devices_) {
    if (device != nullptr) bytes += device->probe_bytes_written();
  }
  return bytes;
}

uint64_t SsdTier::Engine::frame_bytes_max() const {
  return superblock_.segment_bytes - kSegmentHeaderBytes - sizeof(RecordHeader) - kSsdUnitBytes;
}

SsdHealth SsdTier::Engine::health() const {
  uint32_t online = 0;
  for (const std::unique_ptr<Device>& device : devices_) {
    if (device != nullptr && device->online()) ++online;
  }
  if (online == 0) return SsdHealth::kOffline;
  const bool catalog_works = committer_ == nullptr || committer_->catalog_works();
  const bool whole =
      online == DeviceCount() && catalog_works && !disk_is_small_ && !catalog_is_full_;
  return whole ? SsdHealth::kOk : SsdHealth::kDegraded;
}

}  // namespace larder::server
