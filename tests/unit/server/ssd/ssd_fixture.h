// What tests of the SSD tier share: a directory that cleans itself up, blocks with real frames, calls
// that wait for their answer, and an owner that remembers.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/ssd/ssd_tier.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder::testing {

using server::SsdEntry;
using server::SsdFrame;
using server::SsdLocation;
using server::SsdRecord;
using server::SsdTier;

// Under the working directory, which is a real file system where the temporary one may not be.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = "ssd_test_XXXXXX";
    LARDER_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = std::filesystem::absolute(name);
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A block whose key and bytes follow from its number.
struct TestBlock {
  SsdRecord record;
  Bytes frame;
};

inline TestBlock MakeBlock(uint32_t number, uint32_t tokens = 64) {
  std::mt19937_64 random(number * 2654435761u + tokens);
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = AxisOrder::kNhd;
  shape.layers = 1;
  shape.kv_heads = 1;
  shape.head_dim_k = 64;
  shape.head_dim_v = 64;
  shape.tokens = tokens;
  Bytes raw(RawBytes(shape).value());
  for (size_t i = 0; i + 8 <= raw.size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(raw.data() + i, &word, 8);
  }
  const FrameIdentity identity = RandomIdentity(random);
  TestBlock block;
  block.frame = MakeFrame(identity, shape, raw);
  LARDER_CHECK(!block.frame.empty());
  block.record.key = "space-id" +
                     std::string(reinterpret_cast<const char*>(identity.prefix_hash.data()), 28) +
                     std::string(reinterpret_cast<const char*>(&number), 4);
  block.record.parent = number == 0 ? "" : "parent-of-" + std::to_string(number);
  block.record.codec = static_cast<uint16_t>(number % 7);
  block.record.fidelity = static_cast<uint8_t>(1 + number % 4);
  block.record.priority = static_cast<uint8_t>(number % 101);
  block.record.origin_tag = tokens;
  block.record.expires_ms = number;
  block.record.frame_root = Load<FrameHeader>(block.frame, 0).root;
  return block;
}

class TestOwner final : public server::SsdOwner {
 public:
  // Keys to keep; all others are dropped.
  void Want(const std::string& key) {
    server::MutexLock lock(mutex_);
    wanted_.insert(key);
  }
  std::vector<bool> Keep(std::span<const SsdEntry> entries) override {
    server::MutexLock lock(mutex_);
    std::vector<bool> keep;
    for (const SsdEntry& entry : entries) {
      keep.push_back(wanted_.contains(entry.record.key));
      if (!keep.back()) dropped_.insert(entry.record.key);
    }
    return keep;
  }
  bool Moved(const SsdEntry& from, SsdLocation to) override {
    server::MutexLock lock(mutex_);
    moved_[from.record.key] = to;
    return true;
  }
  void Damaged(const SsdEntry& entry, const absl::Status&) override {
    server::MutexLock lock(mutex_);
    damaged_.insert(entry.record.key);
  }
  std::map<std::string, SsdLocation> moved() const {
    server::MutexLock lock(mutex_);
    return moved_;
  }
  std::set<std::string> dropped() const {
    server::MutexLock lock(mutex_);
    return dropped_;
  }
  std::set<std::string> damaged() const {
    server::MutexLock lock(mutex_);
    return damaged_;
  }

 private:
  mutable server::Mutex mutex_;
  std::set<std::string> wanted_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> dropped_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> damaged_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, SsdLocation> moved_ ABSL_GUARDED_BY(mutex_);
};

inline server::SsdOptions SmallSsd(const ScratchDirectory& directory) {
  server::SsdOptions options;
  options.directories = {directory / "a"};
  options.budget_bytes = 12 << 20;
  options.segment_bytes = 1 << 20;
  options.staging_bytes = 4 << 20;
  options.commit_interval = std::chrono::milliseconds(5);
  options.probe_interval = std::chrono::milliseconds(10);
  return options;
}

inline const server::RealClock& TestClock() {
  static const server::RealClock clock;
  return clock;
}
inline server::TimePoint Soon(std::chrono::milliseconds in = std::chrono::seconds(20)) {
  return TestClock().Now() + in;
}

// Opened and recovered; what was found goes to `found`.
inline std::unique_ptr<SsdTier> OpenSsd(const server::SsdOptions& options,
                                        std::vector<SsdEntry>* found = nullptr) {
  auto tier = SsdTier::Open(options, TestClock());
  if (!tier.ok()) std::fprintf(stderr, "%s\n", tier.status().ToString().c_str());
  LARDER_CHECK(tier.ok());
  const absl::Status status = (*tier)->Recover([&](const SsdEntry& entry) {
    if (found != nullptr) found->push_back(entry);
  });
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  LARDER_CHECK(status.ok());
  return *std::move(tier);
}

// An append under way. `block` must outlive it.
inline std::future<absl::StatusOr<SsdLocation>> StartAppend(SsdTier& tier, const TestBlock& block,
                                                            bool urgent = false) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<SsdLocation>>>();
  auto future = promise->get_future();
  const absl::Status status = tier.Append(
      {.record = block.record,
       .frame = {std::span(block.frame).first(100), std::span(block.frame).subspan(100)},
       .deadline = Soon(),
       .urgent = urgent},
      [promise](absl::StatusOr<SsdLocation> location) { promise->set_value(std::move(location)); });
  if (!status.ok()) promise->set_value(status);
  return future;
}
inline absl::StatusOr<SsdLocation> AppendNow(SsdTier& tier, const TestBlock& block) {
  return StartAppend(tier, block, /*urgent=*/true).get();
}

inline absl::StatusOr<SsdFrame> ReadNow(SsdTier& tier, const std::string& key,
                                        const SsdLocation& location,
                                        server::TimePoint deadline = Soon()) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<SsdFrame>>>();
  auto future = promise->get_future();
  tier.Read({.key = key, .location = location, .deadline = deadline},
            [promise](absl::StatusOr<SsdFrame> frame) { promise->set_value(std::move(frame)); });
  return future.get();
}

inline bool Same(const absl::StatusOr<SsdFrame>& frame, const TestBlock& block) {
  return frame.ok() && std::equal(frame->bytes().begin(), frame->bytes().end(), block.frame.begin(),
                                  block.frame.end());
}

}  // namespace larder::testing
