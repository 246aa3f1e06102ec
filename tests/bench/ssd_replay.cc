#include "tests/bench/ssd_replay.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>

#include "server/ssd/segment_format.h"

namespace larder::bench {
namespace {

using server::MutexLock;
using server::SsdEntry;
using server::SsdLocation;

constexpr size_t kDistinctFrames = 16;

// A raw frame of about `frame_bytes`, random inside.
std::vector<std::byte> MakeFrame(uint64_t frame_bytes, std::mt19937_64& random) {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = Dtype::kBf16;
  shape.axis_order = AxisOrder::kNhd;
  shape.layers = 1;
  shape.kv_heads = frame_bytes >= (1 << 20) ? 8 : 1;
  shape.head_dim_k = shape.head_dim_v = 64;
  const uint64_t per_token = uint64_t{shape.kv_heads} * 256;
  shape.tokens = static_cast<uint32_t>(std::max<uint64_t>((frame_bytes - 512) / per_token, 1));
  std::vector<std::byte> raw(RawBytes(shape).value());
  for (size_t i = 0; i + 8 <= raw.size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(raw.data() + i, &word, sizeof(word));
  }
  FrameIdentity identity;
  identity.prefix_hash_bytes = 32;
  identity.prefix_hash.fill(static_cast<uint8_t>(random()));
  std::vector<std::byte> frame = BuildRawFrameHeader(identity, shape, raw);
  for (const RawStream& stream : RawStreams(shape)) {
    const auto begin = raw.begin() + static_cast<ptrdiff_t>(stream.offset);
    frame.insert(frame.end(), begin, begin + static_cast<ptrdiff_t>(stream.bytes));
    frame.resize(AlignFrame(frame.size()));
  }
  return frame;
}

// An LRU over what is on SSD. Reclaim keeps what the LRU still holds, save its last fifth.
// Thread-safe.
class LruOwner final : public server::SsdOwner {
 public:
  explicit LruOwner(uint64_t blocks) : blocks_(blocks) {}

  // True for a hit, which is touched. Otherwise the key is taken in, and what fell out is in `out`.
  bool Touch(const std::string& key, std::vector<StoredBlock>& out) {
    MutexLock lock(mutex_);
    if (const auto found = places_.find(key); found != places_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return true;
    }
    order_.push_front({key, {}});
    places_[key] = order_.begin();
    while (order_.size() > blocks_) {
      out.push_back(order_.back());
      places_.erase(order_.back().key);
      order_.pop_back();
    }
    return false;
  }
  // False: fell out while it was written.
  bool Place(const std::string& key, SsdLocation location) {
    MutexLock lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return false;
    found->second->location = location;
    return true;
  }

  std::vector<bool> Keep(std::span<const SsdEntry> entries) override {
    MutexLock lock(mutex_);
    std::vector<bool> keep;
    uint64_t age = 0;
    std::unordered_set<std::string_view> old;
    for (auto block = order_.rbegin(); block != order_.rend() && age < blocks_ / 5;
         ++block, ++age) {
      old.insert(block->key);
    }
    for (const SsdEntry& entry : entries) {
      const auto found = places_.find(entry.record.key);
      keep.push_back(found != places_.end() && !old.contains(entry.record.key));
      if (found == places_.end() || keep.back()) continue;
      order_.erase(found->second);
      places_.erase(found);
    }
    return keep;
  }
  bool Moved(const SsdEntry& from, SsdLocation to) override { return Place(from.record.key, to); }
  void Damaged(const SsdEntry&, const absl::Status& reason) override {
    std::fprintf(stderr, "damaged: %s\n", reason.ToString().c_str());
    std::abort();
  }

 private:
  const uint64_t blocks_;
  server::Mutex mutex_;
  std::list<StoredBlock> order_ ABSL_GUARDED_BY(mutex_);  // most recent first
  std::unordered_map<std::string, std::list<StoredBlock>::iterator> places_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::string RandomKey(std::mt19937_64& random) {
  std::string key(40, '\0');
  for (size_t i = 0; i < key.size(); i += 8) {
    const uint64_t word = random();
    std::memcpy(key.data() + i, &word, sizeof(word));
  }
  return key;
}

FrameSource::FrameSource(uint64_t frame_bytes) {
  for (size_t i = 0; i < kDistinctFrames; ++i) frames_.push_back(MakeFrame(frame_bytes, random_));
}

server::SsdAppend FrameSource::Next(server::TimePoint deadline) {
  const std::vector<std::byte>& frame = frames_[next_++ % frames_.size()];
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof(header));
  server::SsdAppend append;
  append.record.key = RandomKey(random_);
  append.record.parent = append.record.key;
  append.record.frame_root = header.root;
  append.frame = {frame};
  append.deadline = deadline;
  return append;
}

void KeepNothing::Add(const std::string& key, SsdLocation location) {
  MutexLock lock(mutex_);
  stored_.push_back({key, location});
}

std::optional<StoredBlock> KeepNothing::TakeBeyond(uint64_t blocks) {
  MutexLock lock(mutex_);
  if (stored_.size() <= blocks) return std::nullopt;
  StoredBlock oldest = std::move(stored_.front());
  stored_.pop_front();
  return oldest;
}

std::vector<StoredBlock> KeepNothing::Stored() const {
  MutexLock lock(mutex_);
  return {stored_.begin(), stored_.end()};
}

std::vector<bool> KeepNothing::Keep(std::span<const SsdEntry> entries) {
  MutexLock lock(mutex_);
  const uint32_t generation = entries.front().location.generation;
  std::erase_if(stored_,
                [&](const StoredBlock& block) { return block.location.generation == generation; });
  return std::vector<bool>(entries.size(), false);
}

std::unique_ptr<server::SsdTier> OpenTier(const server::SsdOptions& options,
                                          const server::Clock& clock, server::SsdOwner& owner) {
  auto tier = server::SsdTier::Open(options, clock);
  absl::Status status = tier.status();
  if (status.ok()) status = (*tier)->Recover([](const SsdEntry&) {});
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  (*tier)->Start(owner);
  return *std::move(tier);
}

nlohmann::ordered_json WriteAmplification(const server::SsdUsage& usage) {
  const auto payload = static_cast<double>(std::max<uint64_t>(usage.payload_bytes_written, 1));
  const uint64_t all = usage.payload_bytes_written + usage.moved_bytes_written +
                       usage.overhead_bytes_written + usage.catalog_bytes_written;
  return {{"all", static_cast<double>(all) / payload},
          {"moved", static_cast<double>(usage.moved_bytes_written) / payload},
          {"headers_and_padding", static_cast<double>(usage.overhead_bytes_written) / payload},
          {"catalog", static_cast<double>(usage.catalog_bytes_written) / payload},
          {"payload_bytes", usage.payload_bytes_written}};
}

nlohmann::ordered_json ReplayTrace(const ReplayOptions& options) {
  const server::RealClock clock;
  FrameSource frames(options.frame_bytes);
  LruOwner owner(options.blocks);
  server::SsdOptions ssd;
  ssd.directories = {options.directory};
  // Live blocks fill nine tenths of what the tier can hold.
  const uint64_t live = options.blocks * server::RecordBytes(frames.bytes());
  ssd.segment_bytes = std::max<uint64_t>(live / 40 >> 20, 1) << 20;
  ssd.budget_bytes = live * 10 / 9 + 8 * ssd.segment_bytes + (live >> 4);
  const auto tier = OpenTier(ssd, clock, owner);
  std::ifstream trace(options.trace);
  uint64_t asked = 0;
  uint64_t hits = 0;
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> in_flight{0};
  for (std::string line; std::getline(trace, line);) {
    const nlohmann::json request = nlohmann::json::parse(line);
    for (const auto& id : request["hash_ids"]) {
      std::mt19937_64 random(id.get<uint64_t>());
      const std::string key = RandomKey(random);
      std::vector<StoredBlock> out;
      ++asked;
      if (owner.Touch(key, out)) {
        ++hits;
        continue;
      }
      for (const StoredBlock& block : out) tier->Erase(block.key, block.location);
      server::SsdAppend append = frames.Next(clock.Now() + std::chrono::seconds(60));
      append.record.key = key;
      while (in_flight > 1500) std::this_thread::sleep_for(std::chrono::microseconds(100));
      ++in_flight;
      const absl::Status status = tier->Append(std::move(append), [&, key](auto location) {
        if (!location.ok()) ++failed;
        if (location.ok() && !owner.Place(key, *location)) tier->Erase(key, *location);
        --in_flight;
      });
      if (!status.ok()) --in_flight, ++failed;
    }
  }
  while (in_flight > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const server::SsdUsage usage = tier->usage();
  return {
      {"blocks_asked", asked},
      {"hit_rate", static_cast<double>(hits) / static_cast<double>(std::max<uint64_t>(asked, 1))},
      {"failed_appends", failed.load()},
      {"segments_reclaimed", usage.segments_reclaimed},
      {"live_share_of_capacity",
       static_cast<double>(usage.live_bytes) / static_cast<double>(usage.capacity_bytes)},
      {"write_amplification", WriteAmplification(usage)}};
}

}  // namespace larder::bench
