// Leases: a client's time-bounded promise that blocks stay readable. A lease owns its pins; it ends
// by Release, by time, or with the table.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/store/block_store.h"

namespace larder::server {

// Thread-safe. Pins are let go outside the table's lock.
class LeaseTable {
 public:
  static constexpr size_t kLeaseIdBytes = 16;  // random, so that no client can name another's lease

  struct Options {
    size_t leases_max;
    size_t leases_per_client_max;
    size_t pins_max;  // over all leases; 4 bytes each
    const Clock& clock;
    std::function<std::string()> new_id;  // kLeaseIdBytes unguessable bytes
  };
  explicit LeaseTable(Options options) : options_(std::move(options)) {}

  // RESOURCE_EXHAUSTED at any cap; then the pins are let go.
  absl::StatusOr<std::string> Grant(std::string_view client, PinSet pins,
                                    std::chrono::milliseconds ttl);
  // FAILED_PRECONDITION when the lease has ended.
  absl::Status Renew(std::string_view id, std::chrono::milliseconds ttl);
  absl::Status CheckLive(std::string_view id) const;
  // False when the lease had ended already.
  bool Release(std::string_view id);
  // Ends every lease whose time has come.
  void Advance();
  // Ends every lease: shutdown.
  void ReleaseAll();

  size_t size() const;

 private:
  struct Lease {
    std::string client;
    PinSet pins;
    TimePoint ends;
  };
  using Leases = absl::flat_hash_map<std::string, Lease>;

  PinSet EndLocked(Leases::iterator lease) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  Leases leases_ ABSL_GUARDED_BY(mutex_);
  size_t pins_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::btree_set<std::pair<TimePoint, std::string>> ends_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, size_t> per_client_ ABSL_GUARDED_BY(mutex_);
};

// kLeaseIdBytes from the operating system's random source.
std::string RandomLeaseId();

}  // namespace larder::server
