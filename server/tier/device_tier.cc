#include "server/tier/device_tier.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"
#include "server/base/fault_point.h"

namespace larder::server {

DeviceTier::DeviceTier(DeviceArena& arena)
    : arena_(arena),
      slabs_(static_cast<uint32_t>(
          std::min<uint64_t>(arena.bytes() / kGranuleBytes, SlabAllocator::kGranulesMax))) {}

DeviceTier::~DeviceTier() { LARDER_CHECK(copies() == 0); }

std::optional<SlabRef> DeviceTier::Reserve(uint64_t bytes) {
  LARDER_CHECK(bytes > 0);
  if (arena_.lost() || FaultAt("hbm.reserve") != 0) return std::nullopt;
  const uint64_t granules = (bytes - 1) / kGranuleBytes + 1;
  MutexLock lock(mutex_);
  // Compared before it is narrowed.
  if (granules > slabs_.free_granules()) return std::nullopt;
  const auto slab = slabs_.Allocate(static_cast<uint32_t>(granules));
  if (slab.has_value()) live_.emplace(*slab, Slab{});
  return slab;
}

void DeviceTier::Free(SlabRef slab) {
  MutexLock lock(mutex_);
  const auto found = live_.find(slab);
  LARDER_CHECK(found != live_.end() && !found->second.freed);
  if (found->second.copies > 0) {
    found->second.freed = true;
    return;
  }
  live_.erase(found);
  slabs_.Free(slab);
}

DeviceCopy DeviceTier::Begin(SlabRef slab, const HostRanges& host, Done done) {
  uint64_t left = 0;
  for (const auto& range : host) left += range.size();
  DeviceCopy copy{.host = host};
  MutexLock lock(mutex_);
  const auto found = live_.find(slab);
  LARDER_CHECK(found != live_.end() && !found->second.freed);
  for (const Extent& extent : slabs_.ExtentsOf(slab)) {
    const uint64_t bytes = std::min(left, extent.granules * kGranuleBytes);
    if (bytes == 0) break;
    copy.device.push_back({extent.first_granule * kGranuleBytes, bytes});
    left -= bytes;
  }
  LARDER_CHECK(left == 0);  // more than was reserved
  ++found->second.copies;
  ++copies_;
  copy.done = [this, slab, done = std::move(done)](CopyEnd end) {
    LetGo(slab);
    done(end);
    MutexLock ended(mutex_);
    --copies_;
  };
  return copy;
}

void DeviceTier::LetGo(SlabRef slab) {
  MutexLock lock(mutex_);
  const auto found = live_.find(slab);
  if (--found->second.copies > 0 || !found->second.freed) return;
  live_.erase(found);
  slabs_.Free(slab);
}

bool DeviceTier::Fill(SlabRef slab, const HostRanges& source, Done done) {
  if (FaultAt("hbm.fill") != 0) return false;
  return Began(slab, arena_.CopyIn(Begin(slab, source, [done = std::move(done)](CopyEnd end) {
                 done(FaultAt("hbm.filled") == 0 ? end : CopyEnd::kFailed);
               })));
}

bool DeviceTier::Read(SlabRef slab, const HostRanges& target, Done done) {
  return Began(slab, arena_.CopyOut(Begin(slab, target, [done = std::move(done),
                                                         target](CopyEnd end) {
                 done(FaultBytes("hbm.read", target.front()) == 0 ? end : CopyEnd::kFailed);
               })));
}

bool DeviceTier::Began(SlabRef slab, bool taken) {
  if (taken) return true;
  LetGo(slab);
  MutexLock lock(mutex_);
  --copies_;
  return false;
}

TierUsage DeviceTier::usage() const {
  MutexLock lock(mutex_);
  const uint64_t total = slabs_.total_granules();
  return {.budget_bytes = total * kGranuleBytes,
          .used_bytes = (total - slabs_.free_granules()) * kGranuleBytes,
          .slabs = live_.size()};
}

uint64_t DeviceTier::copies() const {
  MutexLock lock(mutex_);
  return copies_;
}

}  // namespace larder::server
