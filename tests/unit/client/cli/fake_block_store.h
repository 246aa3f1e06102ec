// A model of a store for tests of replay and bench: blocks in one map, exact LRU with tail-first
// touch, at most `capacity` of them. Calls can be made to fail and bytes to go wrong. Thread-safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/block_store.h"

namespace larder::cli {

class FakeBlockStore : public BlockStore {
 public:
  explicit FakeBlockStore(size_t capacity = SIZE_MAX, bool keep_bytes = true)
      : capacity_(capacity), keep_bytes_(keep_bytes) {}

  // Faults. The next `fail_calls` calls answer `failure`.
  int fail_calls = 0;
  absl::Status failure = absl::UnavailableError("restarting");
  std::optional<size_t> miss_at;     // a get misses this position of its batch
  std::optional<size_t> corrupt_at;  // a get flips a bit of this position of its batch

  // What was asked.
  std::vector<PutBlock> puts;  // without bytes
  uint64_t gets = 0;
  uint64_t lookups = 0;
  uint64_t leases_open = 0;
  size_t batch_blocks_max = 0;

  size_t size() {
    std::lock_guard lock(mutex_);
    return blocks_.size();
  }

  absl::StatusOr<LookupResult> Lookup(std::span<const PrefixHash> hashes,
                                      const LookupOptions& options) override {
    std::lock_guard lock(mutex_);
    ++lookups;
    if (Fails()) return failure;
    LookupResult result;
    for (const PrefixHash& hash : hashes) {
      if (!blocks_.contains(Key(hash))) break;
      result.blocks.push_back({.tier = 2, .codec_id = 0, .frame_bytes = kFrameBytes});
    }
    if (result.blocks.size() < hashes.size()) result.miss_reason = MissReason::kNeverSeen;
    for (size_t i = result.blocks.size(); i-- > 0;) Touch(Key(hashes[i]));
    if (options.lease_ttl.count() > 0 && !result.blocks.empty()) {
      result.lease_id = "lease";
      ++leases_open;
    }
    return result;
  }

  absl::StatusOr<std::vector<GetResult>> Get(std::span<const GetBlock> blocks,
                                             const GetOptions&) override {
    std::lock_guard lock(mutex_);
    ++gets;
    batch_blocks_max = std::max(batch_blocks_max, blocks.size());
    if (Fails()) return failure;
    std::vector<GetResult> results;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto found = blocks_.find(Key(blocks[i].hash));
      if (found == blocks_.end() || miss_at == i) {
        results.push_back({.miss_reason = MissReason::kEvicted});
        continue;
      }
      const std::string& bytes = found->second.bytes;
      std::memcpy(blocks[i].destination.data(), bytes.data(), bytes.size());
      if (corrupt_at == i) blocks[i].destination[bytes.size() / 2] ^= std::byte{1};
      results.push_back({.hit = true,
                         .raw_bytes = found->second.raw_bytes,
                         .frame_bytes = kFrameBytes,
                         .fidelity = Fidelity::kExact});
    }
    return results;
  }

  absl::StatusOr<std::vector<PutResult>> Put(std::span<const PutBlock> blocks,
                                             const PutOptions&) override {
    std::lock_guard lock(mutex_);
    batch_blocks_max = std::max(batch_blocks_max, blocks.size());
    if (Fails()) return failure;
    std::vector<PutResult> results;
    for (const PutBlock& block : blocks) {
      results.push_back(PutOne(block));
      puts.push_back(block);
      puts.back().raw = nullptr;
    }
    // Tail-first: the end of a chain is the oldest, its head the youngest.
    for (size_t i = blocks.size(); i-- > 0;) Touch(Key(blocks[i].hash));
    for (std::string at = blocks.empty() ? "" : Key(blocks.front().parent); !at.empty();) {
      const auto found = blocks_.find(at);
      if (found == blocks_.end()) break;
      Touch(at);
      at = found->second.parent;
    }
    return results;
  }

  absl::Status Release(std::string_view, const CallOptions&) override {
    std::lock_guard lock(mutex_);
    if (Fails()) return failure;
    --leases_open;
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kFrameBytes = 1000;

  struct Block {
    std::string parent;
    std::string bytes;
    uint64_t raw_bytes = 0;
    std::list<std::string>::iterator order;
  };

  static PutResult Answer(PutOutcome outcome) {
    PutResult result;
    result.outcome = outcome;
    result.frame_bytes = kFrameBytes;
    return result;
  }

  static std::string Key(const PrefixHash& hash) { return std::string(hash.view()); }

  bool Fails() { return fail_calls > 0 && fail_calls-- > 0; }

  void Touch(const std::string& key) {
    const auto found = blocks_.find(key);
    if (found != blocks_.end()) order_.splice(order_.end(), order_, found->second.order);
  }

  PutResult PutOne(const PutBlock& block) {
    const std::string key = Key(block.hash);
    std::string bytes;
    if (keep_bytes_) bytes.assign(reinterpret_cast<const char*>(block.raw.get()), block.raw_bytes);
    if (const auto found = blocks_.find(key); found != blocks_.end()) {
      if (found->second.bytes != bytes) return Answer(PutOutcome::kConflict);
      return Answer(PutOutcome::kAlreadyPresent);
    }
    if (!block.parent.empty() && !blocks_.contains(Key(block.parent))) {
      return Answer(PutOutcome::kParentAbsent);
    }
    while (blocks_.size() >= capacity_) {
      blocks_.erase(order_.front());
      order_.pop_front();
    }
    order_.push_back(key);
    blocks_[key] = {.parent = Key(block.parent),
                    .bytes = std::move(bytes),
                    .raw_bytes = block.raw_bytes,
                    .order = std::prev(order_.end())};
    return Answer(PutOutcome::kStored);
  }

  const size_t capacity_;
  const bool keep_bytes_;
  std::mutex mutex_;
  std::map<std::string, Block> blocks_;
  std::list<std::string> order_;  // oldest first
};

}  // namespace larder::cli
