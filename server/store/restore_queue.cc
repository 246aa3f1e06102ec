#include "server/store/restore_queue.h"

#include <algorithm>

namespace larder::server {

RestoreQueue::RestoreQueue(BlockStore& blocks) : blocks_(blocks), thread_([this] { Run(); }) {}

RestoreQueue::~RestoreQueue() { Finish(); }

void RestoreQueue::Add(const SsdEntry& entry) {
  filling_.push_back(entry);
  if (filling_.size() == kBatchEntries) Push(std::exchange(filling_, {}));
}

void RestoreQueue::Push(Batch batch) {
  {
    MutexLock lock(mutex_);
    while (batches_.size() >= kBatchesMax) changed_.Wait(mutex_);
    batches_.push_back(std::move(batch));
  }
  changed_.NotifyAll();
}

std::vector<RestoreQueue::Refused> RestoreQueue::Finish() {
  if (!thread_.joinable()) return {};
  if (!filling_.empty()) Push(std::exchange(filling_, {}));
  {
    MutexLock lock(mutex_);
    ended_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  return std::move(refused_);
}

void RestoreQueue::Run() {
  while (true) {
    Batch batch;
    {
      MutexLock lock(mutex_);
      while (batches_.empty() && !ended_) changed_.Wait(mutex_);
      if (batches_.empty()) return;
      batch = std::move(batches_.front());
      batches_.pop_front();
    }
    changed_.NotifyAll();
    for (std::span<const SsdEntry> left = batch; !left.empty();) {
      const auto some = left.first(std::min(left.size(), kAtOnce));
      Offer(some);
      left = left.subspan(some.size());
    }
  }
}

void RestoreQueue::Offer(std::span<const SsdEntry> entries) {
  const std::vector<bool> taken = blocks_.Restore(entries);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!taken[i]) refused_.emplace_back(entries[i].record.key, entries[i].location);
  }
}

}  // namespace larder::server
