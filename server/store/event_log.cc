#include "server/store/event_log.h"

#include <algorithm>

namespace larder::server {

void EventLog::Record(EventKind kind, SpaceId space, const PrefixHash& hash,
                      const PrefixHash& parent) {
  MutexLock lock(mutex_);
  ring_[next_sequence_ % kEventsMax] = {next_sequence_, kind, space, hash, parent};
  ++next_sequence_;
}

EventLog::Watcher::Watcher(EventLog& log) : log_(log) {
  MutexLock lock(log_.mutex_);
  next_ = log_.next_sequence_;
  log_.watchers_.fetch_add(1, std::memory_order_relaxed);
}

EventLog::Watcher::~Watcher() { log_.watchers_.fetch_sub(1, std::memory_order_relaxed); }

std::vector<BlockEvent> EventLog::Watcher::Next(SpaceId space, size_t max, uint64_t* lost) {
  std::vector<BlockEvent> events;
  MutexLock lock(log_.mutex_);
  const uint64_t end = log_.next_sequence_;
  const uint64_t oldest = end > kEventsMax ? end - kEventsMax : 1;
  *lost = next_ < oldest ? oldest - next_ : 0;
  next_ = std::max(next_, oldest);
  for (; next_ < end && events.size() < max; ++next_) {
    const BlockEvent& event = log_.ring_[next_ % kEventsMax];
    if (space == 0 || event.space == space) events.push_back(event);
  }
  return events;
}

}  // namespace larder::server
