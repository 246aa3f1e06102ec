// Load for the SSD tier: frames, owners, and a trace replayed over the tier alone under LRU, to see
// what is written per byte kept.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/format/frame.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_tier.h"

namespace larder::bench {

struct StoredBlock {
  std::string key;
  server::SsdLocation location;
};

std::string RandomKey(std::mt19937_64& random);  // 40 bytes

// Valid frames of about one size, of incompressible bytes, under ever new keys. Not thread-safe.
class FrameSource {
 public:
  explicit FrameSource(uint64_t frame_bytes);
  // The frame's memory is this object's.
  server::SsdAppend Next(server::TimePoint deadline);
  uint64_t bytes() const { return frames_.front().size(); }

 private:
  std::mt19937_64 random_{1};
  std::vector<std::vector<std::byte>> frames_;
  uint64_t next_ = 0;
};

// Wants nothing that is old: pure first-in first-out. Thread-safe.
class KeepNothing final : public server::SsdOwner {
 public:
  void Add(const std::string& key, server::SsdLocation location);
  std::vector<StoredBlock> Stored() const;  // oldest first
  // The oldest, which is forgotten, when there are more than `blocks`.
  std::optional<StoredBlock> TakeBeyond(uint64_t blocks);

  std::vector<bool> Keep(std::span<const server::SsdEntry> entries) override;
  bool Moved(const server::SsdEntry&, server::SsdLocation) override { return false; }
  void Damaged(const server::SsdEntry&, const absl::Status&) override {}

 private:
  mutable server::Mutex mutex_;
  std::deque<StoredBlock> stored_ ABSL_GUARDED_BY(mutex_);
};

// Opened, recovered, started; aborts with the reason when that fails.
std::unique_ptr<server::SsdTier> OpenTier(const server::SsdOptions& options,
                                          const server::Clock& clock, server::SsdOwner& owner);

// All bytes written per byte of appended frames, and its parts.
nlohmann::ordered_json WriteAmplification(const server::SsdUsage& usage);

struct ReplayOptions {
  std::string trace;  // JSON Lines with hash_ids
  std::string directory;
  uint64_t blocks = 0;  // of the LRU
  uint64_t frame_bytes = 33'280;
};
nlohmann::ordered_json ReplayTrace(const ReplayOptions& options);

}  // namespace larder::bench
