// What an SsdTier is made of, and how it starts and ends. Private to ssd_tier.cc and the
// ssd_engine_*.cc files; the contract is in ssd_tier.h.
//
// Threads: one per device for I/O, one prober per device, writer, committer, deadlines, maintenance.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/memory/host_arena.h"
#include "server/ssd/catalog.h"
#include "server/ssd/committer.h"
#include "server/ssd/deadline_table.h"
#include "server/ssd/device.h"
#include "server/ssd/frame_reader.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/segment_writer.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/ssd_directory.h"
#include "server/ssd/ssd_tier.h"
#include "server/ssd/staging_pool.h"
#include "server/ssd/write_budget.h"

namespace larder::server {

class Reclaimer;
class Scrubber;

inline constexpr uint64_t kCatalogShare = 32;  // 1/32 of the budget is the catalog's

// Thread-safe after Recover, as SsdTier is.
class SsdTier::Engine {
 public:
  Engine(SsdOptions options, const Clock& clock);
  ~Engine();

  absl::Status Open();
  absl::Status Recover(const std::function<void(const SsdEntry&)>& visit);
  void Start(SsdOwner& owner);
  absl::Status Append(SsdAppend append, AppendOperation::Done done);
  absl::Status Flush(TimePoint deadline);
  SsdHealth health() const;
  SsdUsage usage() const;
  uint64_t frame_bytes_max() const;

  FrameReader& reader() { return *reader_; }
  Committer& committer() { return *committer_; }
  Catalog& catalog() { return *catalog_; }
  const std::string& home() const { return devices_.front()->directory().path(); }
  bool is_new() const { return segments_->sums().segments == segments_->sums().free; }

 private:
  // Locks all directories and gives each its superblock; the first one's tier and seed are the tier's.
  absl::StatusOr<std::vector<std::unique_ptr<SsdDirectory>>> OpenDirectories();
  absl::Status OpenDevices(std::vector<std::unique_ptr<SsdDirectory>> directories);
  absl::Status OpenCatalog();
  absl::Status CheckDeviceCount();
  absl::Status LoadSegments(Device& device);
  absl::Status OpenMemory();
  uint32_t SegmentsMax() const;  // of one device
  uint32_t DeviceCount() const;
  uint32_t FreeWanted() const;  // reclaim keeps this many free
  // Adds a preallocated segment to the device with fewest; false when the budget or the disk ends.
  bool Grow();
  absl::Status Rebuild();
  absl::Status VisitCatalog(const std::function<void(const SsdEntry&)>& visit);
  void StartWriting();
  void Maintain(const std::stop_token& stopped);
  std::unique_ptr<Reclaimer> MakeReclaimer(SsdOwner& owner);
  std::unique_ptr<Scrubber> MakeScrubber(SsdOwner& owner);
  void EachTick();
  uint64_t DataBytesWritten() const;

  SsdOptions options_;
  const Clock& clock_;
  Superblock superblock_;  // of the first device
  Catalog::Options catalog_options_;
  bool rebuild_ = false;
  bool recovered_ = false;
  uint64_t sequence_ = 0;  // largest seen
  SsdCounters counters_;
  std::atomic<bool> disk_is_small_{false};
  std::atomic<bool> catalog_is_full_{false};
  std::atomic<SsdOwner*> owner_{nullptr};  // set by Start
  TimePoint grow_again_;
  std::unique_ptr<HostArena> memory_;  // staging, then write buffers
  std::unique_ptr<StagingPool> staging_;
  std::unique_ptr<StagingPool> buffers_;
  std::vector<std::unique_ptr<Device>> devices_;  // by index
  std::unique_ptr<SegmentTable> segments_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<WriteBudget> budget_;
  std::unique_ptr<DeadlineTable> deadlines_;
  std::unique_ptr<FrameReader> reader_;
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<SegmentWriter> writer_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::set<uint64_t> outstanding_ ABSL_GUARDED_BY(mutex_);  // appends that have not ended
  uint64_t next_append_ ABSL_GUARDED_BY(mutex_) = 0;
  std::jthread maintenance_;
};

}  // namespace larder::server
