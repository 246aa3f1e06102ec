#include "server/store/event_log.h"

#include "tests/unit/server/store/store_fixture.h"

namespace larder::server {
namespace {

TEST(EventLogTest, AWatcherSeesOnlyWhatComesAfterIt) {
  EventLog log;
  log.Record(EventKind::kStored, 1, HashOf(1), {});
  EventLog::Watcher watcher(log);
  log.Record(EventKind::kStored, 1, HashOf(2), HashOf(1));
  log.Record(EventKind::kRemoved, 2, HashOf(3), {});
  uint64_t lost = 0;
  const auto events = watcher.Next(/*space=*/2, 10, &lost);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].hash, HashOf(3));
  EXPECT_TRUE(watcher.Next(0, 10, &lost).empty());
}

TEST(EventLogTest, ASlowWatcherIsToldWhatItLost) {
  EventLog log;
  EventLog::Watcher watcher(log);
  for (uint64_t i = 0; i < EventLog::kEventsMax + 25; ++i)
    log.Record(EventKind::kStored, 1, HashOf(i), {});
  uint64_t lost = 0, seen = 0;
  for (;;) {
    uint64_t lost_now = 0;
    const auto events = watcher.Next(0, 1000, &lost_now);
    lost += lost_now;
    if (events.empty()) break;
    seen += events.size();
  }
  EXPECT_EQ(lost, 25u);
  EXPECT_EQ(seen, EventLog::kEventsMax);
}

TEST(EventLogTest, IsWatchedOnlyWhileAWatcherLives) {
  EventLog log;
  EXPECT_FALSE(log.watched());
  {
    EventLog::Watcher watcher(log);
    EXPECT_TRUE(log.watched());
  }
  EXPECT_FALSE(log.watched());
}

}  // namespace
}  // namespace larder::server
