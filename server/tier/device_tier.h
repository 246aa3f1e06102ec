// The HBM tier: slabs in a device's memory, filled from and read into host memory by copies that end
// later. The store keeps what it needs at once elsewhere; nothing here waits.
//
// Invariants
//   - A slab's memory is not given to another before every copy that touches it has ended: Free() of
//     a slab in copy takes effect then.
//   - A read gives the bytes of the last fill that ended with kDone, or kFailed. Frames carry their
//     checksums, so whoever reads verifies as with any other tier.
//   - Once the device is lost, nothing can be reserved and every copy fails; the slabs are still to be
//     freed by their owner.
//
// Thread-safe; `done` runs on the arena's thread, without a lock held, and may call back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "server/base/mutex.h"
#include "server/base/tier_usage.h"
#include "server/memory/device_arena.h"
#include "server/memory/slab_allocator.h"

namespace larder::server {

class DeviceTier {
 public:
  // `arena` must outlive this and hold at least one granule; destroy the arena's copies first.
  explicit DeviceTier(DeviceArena& arena);
  // Every copy has ended by now.
  ~DeviceTier();

  // Room for `bytes` > 0, or nullopt when the budget has none left or the device is lost.
  std::optional<SlabRef> Reserve(uint64_t bytes);
  void Free(SlabRef slab);

  using Done = std::function<void(CopyEnd)>;
  // Copies host memory into the slab, or the slab's first bytes into host memory: at most what was
  // reserved. The host memory stays valid until `done`, which is called exactly once. False, and
  // nothing happens, when too many copies wait.
  bool Fill(SlabRef slab, const HostRanges& source, Done done);
  bool Read(SlabRef slab, const HostRanges& target, Done done);

  bool lost() const { return arena_.lost(); }
  TierUsage usage() const;
  uint64_t copies() const;  // whose `done` has not returned

 private:
  struct Slab {
    uint32_t copies = 0;
    bool freed = false;
  };
  DeviceCopy Begin(SlabRef slab, const HostRanges& host, Done done);
  // Undoes Begin() unless the arena has taken the copy; returns `taken`.
  bool Began(SlabRef slab, bool taken);
  // A copy does not touch the slab any more.
  void LetGo(SlabRef slab);

  DeviceArena& arena_;
  mutable Mutex mutex_;
  SlabAllocator slabs_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<SlabRef, Slab> live_ ABSL_GUARDED_BY(mutex_);
  uint64_t copies_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
