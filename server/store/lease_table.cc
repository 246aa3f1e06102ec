#include "server/store/lease_table.h"

#include <openssl/rand.h>

#include <utility>
#include <vector>

#include "proto/contract/errors.h"
#include "server/base/check.h"

namespace larder::server {

absl::StatusOr<std::string> LeaseTable::Grant(std::string_view client, PinSet pins,
                                              std::chrono::milliseconds ttl) {
  std::string id = options_.new_id();
  const std::string owner(client);
  const TimePoint ends = options_.clock.Now() + ttl;
  MutexLock lock(mutex_);
  if (leases_.size() >= options_.leases_max) {
    return OverLimit("live leases of the server", leases_.size(), options_.leases_max);
  }
  if (pins.blocks().size() > options_.pins_max - pins_) {
    return OverLimit("leased block references of the server", pins_, options_.pins_max);
  }
  size_t& owned = per_client_[owner];
  if (owned >= options_.leases_per_client_max) {
    return OverLimit("live leases of this client", owned, options_.leases_per_client_max);
  }
  ++owned;
  pins_ += pins.blocks().size();
  ends_.insert({ends, id});
  const bool fresh = leases_.emplace(id, Lease{owner, std::move(pins), ends}).second;
  LARDER_CHECK(fresh);
  return id;
}

absl::Status LeaseTable::Renew(std::string_view id, std::chrono::milliseconds ttl) {
  const TimePoint now = options_.clock.Now();
  MutexLock lock(mutex_);
  const auto lease = leases_.find(std::string(id));
  if (lease == leases_.end() || lease->second.ends <= now) return LeaseGone();
  ends_.erase({lease->second.ends, lease->first});
  lease->second.ends = now + ttl;
  ends_.insert({lease->second.ends, lease->first});
  return absl::OkStatus();
}

absl::Status LeaseTable::CheckLive(std::string_view id) const {
  const TimePoint now = options_.clock.Now();
  MutexLock lock(mutex_);
  const auto lease = leases_.find(std::string(id));
  if (lease == leases_.end() || lease->second.ends <= now) return LeaseGone();
  return absl::OkStatus();
}

PinSet LeaseTable::EndLocked(Leases::iterator lease) {
  PinSet pins = std::move(lease->second.pins);
  pins_ -= pins.blocks().size();
  ends_.erase({lease->second.ends, lease->first});
  const auto owned = per_client_.find(lease->second.client);
  if (--owned->second == 0) per_client_.erase(owned);
  leases_.erase(lease);
  return pins;
}

bool LeaseTable::Release(std::string_view id) {
  PinSet pins;  // let go after the lock
  MutexLock lock(mutex_);
  const auto lease = leases_.find(std::string(id));
  if (lease == leases_.end()) return false;
  pins = EndLocked(lease);
  return true;
}

void LeaseTable::Advance() {
  std::vector<PinSet> ended;  // let go after the lock
  const TimePoint now = options_.clock.Now();
  MutexLock lock(mutex_);
  while (!ends_.empty() && ends_.begin()->first <= now) {
    ended.push_back(EndLocked(leases_.find(ends_.begin()->second)));
  }
}

void LeaseTable::ReleaseAll() {
  std::vector<PinSet> ended;  // let go after the lock
  MutexLock lock(mutex_);
  while (!leases_.empty()) ended.push_back(EndLocked(leases_.begin()));
}

size_t LeaseTable::size() const {
  MutexLock lock(mutex_);
  return leases_.size();
}

std::string RandomLeaseId() {
  std::string id(LeaseTable::kLeaseIdBytes, '\0');
  LARDER_CHECK(
      RAND_bytes(reinterpret_cast<unsigned char*>(id.data()), static_cast<int>(id.size())) == 1);
  return id;
}

}  // namespace larder::server
