#include "server/memory/copy_queue.h"

#include <utility>

namespace larder::server {

CopyQueue::CopyQueue(size_t copies_max, Run run)
    : copies_max_(copies_max), run_(std::move(run)), thread_([this] { Work(); }) {}

CopyQueue::~CopyQueue() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyOne();
  thread_.join();
}

bool CopyQueue::Push(DeviceCopy copy) {
  {
    MutexLock lock(mutex_);
    if (stop_ || copies_.size() >= copies_max_) return false;
    copies_.push_back(std::move(copy));
  }
  changed_.NotifyOne();
  return true;
}

size_t CopyQueue::size() const {
  MutexLock lock(mutex_);
  return copies_.size();
}

void CopyQueue::Work() {
  for (;;) {
    DeviceCopy copy;
    bool stopped = false;
    {
      MutexLock lock(mutex_);
      while (copies_.empty() && !stop_) changed_.Wait(mutex_);
      if (copies_.empty()) return;
      copy = std::move(copies_.front());
      copies_.pop_front();
      stopped = stop_;
    }
    copy.done(stopped ? CopyEnd::kFailed : run_(copy));
  }
}

}  // namespace larder::server
