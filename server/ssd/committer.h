// Makes written records durable and names them: one fdatasync per device, then one synced catalog
// batch, for all that came together (group commit). Data before name. The only writer of the
// catalog, so that every change can be compared with what stands there.
//
// A round takes what is there once something urgent came, or the oldest has waited for
// `commit_interval`, or much has come. Erases and retentions go with the next round, without a sync
// of their own.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/append_operation.h"
#include "server/ssd/catalog.h"
#include "server/ssd/device.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/write_budget.h"

namespace larder::server {

// Thread-safe. What it is made of must outlive it. The destructor commits what was handed over.
class Committer {
 public:
  struct Parts {
    std::span<const std::unique_ptr<Device>> devices;
    SegmentTable& segments;
    Catalog& catalog;
    SsdCounters& counters;
    WriteBudget& budget;
    const Clock& clock;
    std::chrono::milliseconds commit_interval{100};
    std::chrono::milliseconds retry_interval{500};  // of a catalog that failed
  };
  explicit Committer(const Parts& parts);
  ~Committer();

  // From the writer: bytes written or failed; the committer ends the operation.
  void Take(std::shared_ptr<AppendOperation> operation);
  void Erase(std::string_view key, SsdLocation location);
  void Retain(std::string_view key, SsdLocation location, const SsdRetention& retention);
  // What is there goes at once.
  void Hurry();
  // Begins a round at once; true when one that began after the call has ended by the deadline.
  bool Round(TimePoint deadline);
  // False from a failed commit until the catalog works again.
  bool catalog_works() const { return catalog_works_.load(std::memory_order_acquire); }

 private:
  using Operation = std::shared_ptr<AppendOperation>;
  struct Changes {
    std::vector<Operation> operations;
    // By key: the last word counts, and however often it changes this has a bound.
    absl::flat_hash_map<std::string, std::pair<SsdLocation, SsdRetention>> retains;
    std::vector<std::pair<std::string, SsdLocation>> erases;
    bool empty() const { return operations.empty() && retains.empty() && erases.empty(); }
  };
  // What a batch does to the live sums once it is committed.
  struct Effects {
    std::vector<SsdLocation> added;
    std::vector<SsdLocation> dropped;
    std::vector<Operation> named;
  };

  void Run();
  bool IsDue(TimePoint now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Commit(Changes changes);
  // Ends those whose bytes did not reach the device.
  void SyncDevices(std::vector<Operation>& operations);
  void Finish(const Operation& operation, absl::StatusOr<SsdLocation> result);
  // Where the catalog, with the batch so far, says that the key lies.
  absl::StatusOr<std::optional<StoredRecord>> Current(const std::string& key) const;
  absl::Status Collect(Changes& changes, Catalog::Batch& batch, Effects& effects);
  void PutBack(Changes changes);
  bool ReviveCatalog();

  const Parts parts_;
  std::atomic<bool> catalog_works_{true};
  // Confined to the thread: names that the batch under construction changes (nullopt: erases).
  absl::flat_hash_map<std::string, std::optional<StoredRecord>> overlay_;
  TimePoint revive_at_;
  mutable Mutex mutex_;
  CondVar changed_;
  Changes waiting_ ABSL_GUARDED_BY(mutex_);
  TimePoint oldest_ ABSL_GUARDED_BY(mutex_);
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool urgent_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t rounds_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t rounds_ended_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace larder::server
