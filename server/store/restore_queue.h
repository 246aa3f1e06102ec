// What a restart finds on SSD, on its way into the index: one thread reads the catalog while another fills the index,
// a batch at a time. In order.
//
//   RestoreQueue queue(blocks);
//   tier.Recover([&](const SsdEntry& entry) { queue.Add(entry); });
//   for (const auto& [key, location] : queue.Finish()) tier.Erase(key, location);
#pragma once

#include <deque>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/mutex.h"
#include "server/ssd/ssd_record.h"
#include "server/store/block_store.h"

namespace larder::server {

// Add and Finish from one thread. `blocks` outlives it.
class RestoreQueue {
 public:
  explicit RestoreQueue(BlockStore& blocks);
  ~RestoreQueue();

  // Waits while kBatchesMax are ahead.
  void Add(const SsdEntry& entry);

  // What the index did not take. All has been offered to it then; no Add after it.
  using Refused = std::pair<std::string, SsdLocation>;
  std::vector<Refused> Finish();

 private:
  using Batch = std::vector<SsdEntry>;
  static constexpr size_t kBatchEntries = 1024;  // so that threads seldom wake one another
  static constexpr size_t kBatchesMax = 4;       // about 1 MiB
  // Offered to the index together: their cache misses overlap, and what they load fits the first-level cache.
  static constexpr size_t kAtOnce = 64;

  void Run();
  void Push(Batch batch);
  void Offer(std::span<const SsdEntry> entries);

  BlockStore& blocks_;
  Batch filling_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Batch> batches_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Refused> refused_;  // of the thread, until it has been joined
  std::thread thread_;
};

}  // namespace larder::server
