#include "server/ssd/reclaimer.h"

#include <algorithm>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"
#include "server/ssd/segment_scan.h"

namespace larder::server {
namespace {

// Moves that find no room for this long, with no segment left, are given up: the owner wants more
// than there is, and only what it loses makes room again.
constexpr std::chrono::seconds kMoveWait{10};
// One segment for appends and one for moves: with these nothing is urgent.
constexpr uint32_t kFreeToGoOn = 2;

}  // namespace

bool Reclaimer::ReclaimOne(const std::stop_token& stopped) {
  const auto victim = parts_.segments.Victim();
  if (!victim.has_value()) return false;
  const uint64_t live_bytes = parts_.segments.LiveBytes(victim->segment);
  if (live_bytes > parts_.segments.segment_bytes() / 10 * 9 &&
      parts_.segments.free_segments() >= kFreeToGoOn) {
    // It would be written again almost whole, and then again: what is wanted must become less first.
    parts_.segments.GiveBack(victim->segment);
    return false;
  }
  FaultAt("ssd.reclaim");
  const std::vector<SsdEntry> live = LiveRecords(*victim);
  const auto moves = std::make_shared<Moves>();
  bool emptied = parts_.devices[DeviceOf(victim->segment)]->online();
  for (size_t begin = 0; begin < live.size() && emptied && !stopped.stop_requested();
       begin += kKeepBatch) {
    const auto batch = std::span(live).subspan(begin, std::min(kKeepBatch, live.size() - begin));
    const std::vector<bool> wanted = owner_.Keep(batch);
    for (size_t i = 0; i < batch.size(); ++i) {
      if (i >= wanted.size() || !wanted[i] || PlantedBug("ssd.reclaim_drops_wanted")) {
        parts_.committer.Erase(batch[i].record.key, batch[i].location);
        Add(parts_.counters.records_dropped);
      } else if (emptied) {
        emptied = MoveRecord(batch[i], moves) && Settle(*moves, kMoveBytesMax, stopped);
      }
    }
  }
  emptied = Settle(*moves, 0, stopped) && emptied && !stopped.stop_requested();
  if (!emptied) {
    parts_.segments.GiveBack(victim->segment);
    return false;
  }
  FaultAt("ssd.retire");
  parts_.segments.Retire(victim->segment);
  Add(parts_.counters.segments_reclaimed);
  return true;
}

std::vector<SsdEntry> Reclaimer::LiveRecords(const SegmentTable::Opened& victim) {
  std::vector<SsdEntry> live;
  const uint64_t records = parts_.segments.LiveRecords(victim.segment);
  if (records == 0) return live;
  const SegmentScan scan = {.segment = victim.segment,
                            .generation = victim.generation,
                            .segment_bytes = parts_.segments.segment_bytes(),
                            .end = parts_.segments.WrittenBytes(victim.segment),
                            .seed = parts_.seed};
  ScanSegment(*parts_.devices[DeviceOf(victim.segment)], scan, [&](const StoredRecord& record) {
    const auto current = parts_.catalog.Find(record.entry.record.key);
    // What the catalog says of priority and times may be newer than the record.
    if (current.ok() && current->has_value() &&
        (*current)->entry.location == record.entry.location) {
      live.push_back((*current)->entry);
    }
    return live.size() < records;
  });
  return live;
}

bool Reclaimer::MoveRecord(const SsdEntry& entry, const std::shared_ptr<Moves>& moves) {
  auto frame = parts_.reader.ReadNow({.key = entry.record.key,
                                      .location = entry.location,
                                      .deadline = parts_.clock.Now() + kMoveReadDeadline});
  if (!frame.ok()) {
    if (!absl::IsDataLoss(frame.status()) &&
        !parts_.devices[DeviceOf(entry.location.segment)]->online()) {
      return false;
    }
    if (absl::IsDeadlineExceeded(frame.status()) || absl::IsResourceExhausted(frame.status())) {
      return false;
    }
    parts_.committer.Erase(entry.record.key, entry.location);
    owner_.Damaged(entry, frame.status());
    return true;
  }
  auto move = std::make_shared<std::unique_ptr<Move>>(std::make_unique<Move>(
      Move{entry, *std::move(frame), StorageFailed("moving a block", "not yet")}));
  const std::span<const std::byte> bytes = (*move)->frame.bytes();
  const auto operation = std::make_shared<AppendOperation>(
      entry.record, std::vector<std::span<const std::byte>>{bytes},
      [moves, move, size = bytes.size()](absl::StatusOr<SsdLocation> location) {
        (*move)->to = std::move(location);
        (*move)->frame.Reset();
        MutexLock lock(moves->mutex);
        moves->ended.push_back(std::move(*move));
        --moves->in_flight;
        moves->bytes -= size;
        moves->changed.NotifyAll();
      });
  operation->moved_from = entry.location;
  {
    MutexLock lock(moves->mutex);
    ++moves->in_flight;
    moves->bytes += bytes.size();
    moves->started.push_back(operation);
  }
  return parts_.writer.Push(operation).ok();
}

bool Reclaimer::Settle(Moves& moves, uint64_t bytes, const std::stop_token& stopped) {
  const TimePoint give_up = parts_.clock.Now() + kMoveWait;
  // Appends may wait for the segment that this is to empty.
  if (bytes == 0) parts_.writer.FlushMoves();
  bool all = true;
  while (true) {
    std::vector<std::unique_ptr<Move>> ended;
    std::vector<std::weak_ptr<AppendOperation>> stuck;
    bool settled = false;
    {
      MutexLock lock(moves.mutex);
      settled = bytes == 0 ? moves.in_flight == 0 : moves.bytes <= bytes;
      if (!settled && moves.ended.empty()) {
        moves.changed.WaitFor(moves.mutex, std::chrono::milliseconds(20));
      }
      ended.swap(moves.ended);
      const bool no_room = parts_.clock.Now() > give_up && parts_.segments.free_segments() == 0;
      if (stopped.stop_requested() || no_room) stuck.swap(moves.started);
      if (moves.in_flight == 0) moves.started.clear();
    }
    const absl::Status given_up = stopped.stop_requested()
                                      ? StorageFailed("moving a block", "the tier is closing")
                                      : OverLimit("bytes of wanted blocks on SSD", 0, 0);
    for (const std::weak_ptr<AppendOperation>& weak : stuck) {
      if (const auto operation = weak.lock()) operation->End(given_up);
    }
    for (const std::unique_ptr<Move>& move : ended) all = Tell(*move) && all;
    if (settled && ended.empty()) return all;
    if (!settled) parts_.committer.Hurry();
  }
}

bool Reclaimer::Tell(Move& move) {
  if (move.to.ok()) {
    Add(parts_.counters.records_moved);
    if (!owner_.Moved(move.from, *move.to)) {
      parts_.committer.Erase(move.from.record.key, *move.to);
    }
    return true;
  }
  if (absl::IsNotFound(move.to.status())) return true;  // erased meanwhile
  if (!absl::IsResourceExhausted(move.to.status())) return false;
  parts_.committer.Erase(move.from.record.key, move.from.location);
  owner_.Damaged(move.from, move.to.status());
  return true;
}

}  // namespace larder::server
