#include "server/ssd/deadline_table.h"

#include <stop_token>
#include <vector>

namespace larder::server {

DeadlineTable::DeadlineTable(const Clock& clock, std::function<void()> each_tick)
    : clock_(clock),
      each_tick_(std::move(each_tick)),
      thread_([this](const std::stop_token& stopped) { Run(stopped); }) {}

DeadlineTable::~DeadlineTable() {
  thread_.request_stop();
  changed_.NotifyAll();
  thread_.join();
}

void DeadlineTable::Add(TimePoint deadline, std::function<void()> expire, Id* id) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    first = waiting_.empty();
    *id = {deadline, ++next_};
    waiting_.emplace(*id, std::move(expire));
  }
  if (first) changed_.NotifyAll();
}

void DeadlineTable::Remove(const Id& id) {
  std::function<void()> dropped;  // what it captured dies outside of the lock
  MutexLock lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  dropped = std::move(found->second);
  waiting_.erase(found);
}

void DeadlineTable::Run(const std::stop_token& stopped) {
  std::vector<std::function<void()>> over;
  while (!stopped.stop_requested()) {
    {
      MutexLock lock(mutex_);
      changed_.WaitFor(mutex_, waiting_.empty() ? kIdleTick : kDeadlineTick);
      const TimePoint now = clock_.Now();
      while (!waiting_.empty() && waiting_.begin()->first.first <= now) {
        over.push_back(std::move(waiting_.begin()->second));
        waiting_.erase(waiting_.begin());
      }
    }
    for (const std::function<void()>& expire : over) expire();
    over.clear();
    each_tick_();
  }
}

}  // namespace larder::server
