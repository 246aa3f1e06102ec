#include "server/ssd/ssd_tier.h"

#include <utility>

#include "server/ssd/ssd_engine.h"

namespace larder::server {

SsdTier::SsdTier(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
SsdTier::~SsdTier() = default;

absl::StatusOr<std::unique_ptr<SsdTier>> SsdTier::Open(SsdOptions options, const Clock& clock) {
  auto engine = std::make_unique<Engine>(std::move(options), clock);
  if (absl::Status status = engine->Open(); !status.ok()) return status;
  return std::unique_ptr<SsdTier>(new SsdTier(std::move(engine)));
}

absl::Status SsdTier::Recover(const std::function<void(const SsdEntry&)>& visit) {
  return engine_->Recover(visit);
}
void SsdTier::Start(SsdOwner& owner) { engine_->Start(owner); }

absl::Status SsdTier::Append(SsdAppend append,
                             std::function<void(absl::StatusOr<SsdLocation>)> done) {
  return engine_->Append(std::move(append), std::move(done));
}
void SsdTier::Read(const SsdRead& read, std::function<void(absl::StatusOr<SsdFrame>)> done) {
  engine_->reader().Read(read, std::move(done));
}
void SsdTier::Erase(std::string_view key, SsdLocation location) {
  engine_->committer().Erase(key, location);
}
void SsdTier::Retain(std::string_view key, SsdLocation location, const SsdRetention& retention) {
  engine_->committer().Retain(key, location, retention);
}

const std::string& SsdTier::home() const { return engine_->home(); }
bool SsdTier::is_new() const { return engine_->is_new(); }
absl::StatusOr<std::optional<SsdEntry>> SsdTier::Find(std::string_view key) {
  const auto found = engine_->catalog().Find(key);
  if (!found.ok()) return found.status();
  if (!found->has_value()) return std::optional<SsdEntry>();
  return std::optional<SsdEntry>((*found)->entry);
}
absl::Status SsdTier::Flush(TimePoint deadline) { return engine_->Flush(deadline); }
uint64_t SsdTier::frame_bytes_max() const { return engine_->frame_bytes_max(); }
SsdHealth SsdTier::health() const { return engine_->health(); }
SsdUsage SsdTier::usage() const { return engine_->usage(); }

}  // namespace larder::server
