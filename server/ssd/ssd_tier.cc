#include "server/ssd/ssd_tier.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/mutex.h"

namespace larder::server {

class SsdTier::Engine {
 public:
  Mutex mutex;
  std::map<std::string, std::pair<SsdEntry, std::vector<std::byte>>> records ABSL_GUARDED_BY(mutex);
  SsdUsage usage ABSL_GUARDED_BY(mutex);
  uint32_t next = 0;
};

SsdTier::SsdTier(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
SsdTier::~SsdTier() = default;

absl::StatusOr<std::unique_ptr<SsdTier>> SsdTier::Open(SsdOptions options, const Clock&) {
  auto tier = std::unique_ptr<SsdTier>(new SsdTier(std::make_unique<Engine>()));
  MutexLock lock(tier->engine_->mutex);
  tier->engine_->usage.budget_bytes = options.budget_bytes;
  tier->engine_->usage.capacity_bytes = options.budget_bytes;
  return tier;
}

absl::Status SsdTier::Recover(const std::function<void(const SsdEntry&)>&) {
  return absl::OkStatus();
}
void SsdTier::Start(SsdOwner&) {}

absl::Status SsdTier::Append(SsdAppend append,
                             std::function<void(absl::StatusOr<SsdLocation>)> done) {
  std::vector<std::byte> bytes;
  for (const auto piece : append.frame) bytes.insert(bytes.end(), piece.begin(), piece.end());
  SsdLocation location;
  {
    MutexLock lock(engine_->mutex);
    location = {.generation = 1,
                .offset = engine_->next++,
                .frame_bytes = static_cast<uint32_t>(bytes.size())};
    engine_->records[append.record.key] = {SsdEntry{append.record, location}, std::move(bytes)};
  }
  done(location);
  return absl::OkStatus();
}

void SsdTier::Read(const SsdRead& read, std::function<void(absl::StatusOr<SsdFrame>)> done) {
  auto copy = std::make_shared<std::vector<std::byte>>();
  {
    MutexLock lock(engine_->mutex);
    const auto found = engine_->records.find(std::string(read.key));
    if (found != engine_->records.end() && found->second.first.location == read.location) {
      *copy = found->second.second;
    }
  }
  if (copy->empty()) return done(NotFound("SSD location", "stale"));
  const std::span<std::byte> bytes(*copy);
  done(SsdFrame(bytes, [copy] {}));
}

void SsdTier::Erase(std::string_view key, SsdLocation location) {
  MutexLock lock(engine_->mutex);
  const auto found = engine_->records.find(std::string(key));
  if (found != engine_->records.end() && found->second.first.location == location) {
    engine_->records.erase(found);
  }
}

void SsdTier::Retain(SsdEntry entry) {
  MutexLock lock(engine_->mutex);
  const auto found = engine_->records.find(entry.record.key);
  if (found != engine_->records.end() && found->second.first.location == entry.location) {
    found->second.first.record = entry.record;
  }
}

absl::StatusOr<std::optional<SsdEntry>> SsdTier::Find(std::string_view key) {
  MutexLock lock(engine_->mutex);
  const auto found = engine_->records.find(std::string(key));
  if (found == engine_->records.end()) return std::optional<SsdEntry>();
  return std::optional<SsdEntry>(found->second.first);
}

absl::Status SsdTier::Flush(TimePoint) { return absl::OkStatus(); }
uint64_t SsdTier::frame_bytes_max() const { return kFrameBytesMax; }
SsdHealth SsdTier::health() const { return SsdHealth::kOk; }
SsdUsage SsdTier::usage() const {
  MutexLock lock(engine_->mutex);
  return engine_->usage;
}

}  // namespace larder::server
