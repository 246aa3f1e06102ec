// Reads records into staging memory, verifies everything, hands frames out. The only way by which
// bytes leave the tier.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/deadline_table.h"
#include "server/ssd/device.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/ssd_tier.h"
#include "server/ssd/staging_pool.h"

namespace larder::server {

// Reads that wait for staging memory; more are refused.
inline constexpr size_t kReadsWaitingMax = 4096;

// OK when `record` (a whole record, from its header on) is the one that is asked for and its frame
// verifies; DATA_LOSS otherwise, with the reason. One pass over the bytes. `found`, if not null, is
// what the header says.
absl::Status VerifyRecord(std::span<const std::byte> record, std::string_view key,
                          const SsdLocation& location, uint64_t seed, SsdRecord* found = nullptr);

// Thread-safe. What it is made of must outlive it. Destroy it after its reads have ended.
class FrameReader {
 public:
  using Done = std::function<void(absl::StatusOr<SsdFrame>)>;
  struct Parts {
    std::span<const std::unique_ptr<Device>> devices;
    SegmentTable& segments;
    StagingPool& staging;
    DeadlineTable& deadlines;
    SsdCounters& counters;
    uint64_t seed = 0;
  };
  explicit FrameReader(const Parts& parts) : parts_(parts) {}
  ~FrameReader();

  void Read(const SsdRead& read, Done done);
  // Blocks until the read has ended; not on a thread of a device.
  absl::StatusOr<SsdFrame> ReadNow(const SsdRead& read);
  // Ends every read that waits, and refuses more. Those in flight end as they do.
  void Close();

 private:
  struct Operation;
  using Shared = std::shared_ptr<Operation>;

  absl::Status Start(const Shared& operation);  // RESOURCE_EXHAUSTED: no memory now
  void Arrived(const Shared& operation, int error);
  void Release(std::span<std::byte> memory);
  void StartWaiting();
  void CountOut(int by);
  void End(const Shared& operation, absl::StatusOr<SsdFrame> result);

  const Parts parts_;
  Mutex mutex_;
  CondVar idle_;
  std::deque<Shared> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t memory_out_ ABSL_GUARDED_BY(mutex_) = 0;  // pieces
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace larder::server
