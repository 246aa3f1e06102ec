// An SSD tier in memory for tests of what stands above it: it can hold its answers back, refuse,
// damage and move what it stores, and be opened again over what another one left.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/contract/errors.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_frames.h"
#include "server/ssd/ssd_tier.h"

namespace larder::server {

// What survives a restart.
struct FakeSsdDisk {
  std::map<std::string, std::pair<SsdEntry, std::vector<std::byte>>> records;
};

// Thread-safe.
class FakeSsdTier final : public SsdFrames {
 public:
  explicit FakeSsdTier(FakeSsdDisk& disk, uint64_t capacity_bytes = uint64_t{1} << 30)
      : disk_(disk), capacity_bytes_(capacity_bytes) {}
  ~FakeSsdTier() override { Release(); }

  // Reads are kept until Release().
  void HoldReads(bool hold) {
    MutexLock lock(mutex_);
    hold_ = hold;
  }
  size_t held() const {
    MutexLock lock(mutex_);
    return held_.size();
  }
  void Release() {
    std::vector<std::function<void()>> held;
    {
      MutexLock lock(mutex_);
      held.swap(held_);
      hold_ = false;
    }
    for (auto& end : held) end();
  }
  // Every further read or append ends with this.
  void FailReads(absl::Status status) {
    MutexLock lock(mutex_);
    read_status_ = std::move(status);
  }
  void FailAppends(absl::Status status) {
    MutexLock lock(mutex_);
    append_status_ = std::move(status);
  }
  size_t records() const {
    MutexLock lock(mutex_);
    return disk_.records.size();
  }
  uint64_t reads() const {
    MutexLock lock(mutex_);
    return reads_;
  }
  std::vector<SsdEntry> Entries() const {
    MutexLock lock(mutex_);
    std::vector<SsdEntry> entries;
    for (const auto& [key, record] : disk_.records) entries.push_back(record.first);
    return entries;
  }
  // As reclaim moves a record: what was at its old location is gone.
  SsdLocation Move(const std::string& key) {
    MutexLock lock(mutex_);
    SsdLocation& location = disk_.records.at(key).first.location;
    location.offset = next_++;
    return location;
  }
  // The frame under `key` becomes the one of `other`, its own checksums intact.
  void Swap(const std::string& key, const std::string& other) {
    MutexLock lock(mutex_);
    std::swap(disk_.records.at(key).second, disk_.records.at(other).second);
  }

  absl::Status Recover(const std::function<void(const SsdEntry&)>& visit) {
    for (const SsdEntry& entry : Entries()) visit(entry);
    return absl::OkStatus();
  }

  absl::Status Append(SsdAppend append,
                      std::function<void(absl::StatusOr<SsdLocation>)> done) override {
    SsdLocation location;
    {
      MutexLock lock(mutex_);
      if (!append_status_.ok()) return append_status_;
      std::vector<std::byte> bytes;
      for (const auto piece : append.frame) bytes.insert(bytes.end(), piece.begin(), piece.end());
      location = {.generation = 1,
                  .offset = next_++,
                  .frame_bytes = static_cast<uint32_t>(bytes.size())};
      payload_bytes_ += bytes.size();
      disk_.records[append.record.key] = {SsdEntry{append.record, location}, std::move(bytes)};
    }
    done(location);
    return absl::OkStatus();
  }

  void Read(const SsdRead& read, std::function<void(absl::StatusOr<SsdFrame>)> done) override {
    auto end = [this, key = std::string(read.key), location = read.location,
                done = std::move(done)] { done(Answer(key, location)); };
    {
      MutexLock lock(mutex_);
      ++reads_;
      if (hold_) {
        held_.push_back(std::move(end));
        return;
      }
    }
    end();
  }

  void Erase(std::string_view key, SsdLocation location) override {
    MutexLock lock(mutex_);
    const auto found = disk_.records.find(std::string(key));
    if (found == disk_.records.end() || !(found->second.first.location == location)) return;
    disk_.records.erase(found);
  }
  void Retain(std::string_view key, SsdLocation location, const SsdRetention& retention) override {
    MutexLock lock(mutex_);
    const auto found = disk_.records.find(std::string(key));
    if (found == disk_.records.end() || !(found->second.first.location == location)) return;
    ++retains_;
    SsdRecord& record = found->second.first.record;
    record.priority = retention.priority;
    record.expires_ms = retention.expires_ms;
    record.priority_until_ms = retention.priority_until_ms;
  }
  absl::StatusOr<std::optional<SsdEntry>> Find(std::string_view key) {
    MutexLock lock(mutex_);
    const auto found = disk_.records.find(std::string(key));
    if (found == disk_.records.end()) return std::optional<SsdEntry>();
    return std::optional<SsdEntry>(found->second.first);
  }
  absl::Status Flush(TimePoint) override { return absl::OkStatus(); }
  size_t retains() const { return retains_.load(); }
  void SetFrameBytesMax(uint64_t bytes) { frame_bytes_max_.store(bytes); }
  uint64_t frame_bytes_max() const override { return frame_bytes_max_.load(); }
  SsdHealth health() const override { return SsdHealth::kOk; }
  SsdUsage usage() const override {
    MutexLock lock(mutex_);
    SsdUsage usage;
    usage.budget_bytes = usage.capacity_bytes = capacity_bytes_;
    usage.payload_bytes_written = payload_bytes_;
    usage.live_records = disk_.records.size();
    return usage;
  }

 private:
  absl::StatusOr<SsdFrame> Answer(const std::string& key, const SsdLocation& location) {
    MutexLock lock(mutex_);
    if (!read_status_.ok()) return read_status_;
    const auto found = disk_.records.find(key);
    if (found == disk_.records.end() || !(found->second.first.location == location)) {
      return NotFound("record", "at that location");
    }
    const auto copy = std::make_shared<std::vector<std::byte>>(found->second.second);
    return SsdFrame(*copy, [copy] {});
  }

  FakeSsdDisk& disk_;
  std::atomic<uint64_t> frame_bytes_max_{kFrameBytesMax};
  std::atomic<size_t> retains_{0};
  const uint64_t capacity_bytes_;
  mutable Mutex mutex_;
  std::vector<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status read_status_ ABSL_GUARDED_BY(mutex_);
  absl::Status append_status_ ABSL_GUARDED_BY(mutex_);
  uint32_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t reads_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t payload_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
