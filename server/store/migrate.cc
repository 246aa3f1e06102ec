#include "server/store/migrate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/base/fault_point.h"
#include "server/base/log.h"
#include "server/config.h"
#include "server/store/restore_queue.h"
#include "server/tier/byte_spans.h"

namespace larder::server {
namespace {

constexpr auto kIdleWait = std::chrono::milliseconds(10);  // queued writes are begun no later
constexpr auto kSweepEvery = std::chrono::milliseconds(50);
constexpr auto kRefusedPause = std::chrono::milliseconds(200);
constexpr auto kUsageEvery = std::chrono::milliseconds(100);
constexpr size_t kChainMax = 4096;  // ancestors written with a block at once; the next round goes on

}  // namespace

Migrate::Migrate(Options options)
    : options_(std::move(options)), recoder_(options_.metrics), recovered_(Recover()) {
  if (recovered_.ok()) thread_ = std::thread([this] { Run(); });
}

Migrate::~Migrate() { Stop(); }

void Migrate::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    promotions_.clear();
  }
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  while (in_flight_.load() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::vector<Waiting> waiting;
  {
    // Also: whoever ended the last write has left the lock.
    std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  for (Waiting& item : waiting) item.done(Draining());
}

absl::Status Migrate::Recover() {
  const auto begun = options_.clock.Now();
  RestoreQueue queue(options_.blocks);
  const absl::Status status = options_.recover([&](const SsdEntry& entry) { queue.Add(entry); });
  const std::vector<RestoreQueue::Refused> refused = queue.Finish();
  if (!status.ok()) return status;
  for (const auto& [key, location] : refused) options_.ssd.Erase(key, location);
  options_.blocks.EndRestore();
  options_.start(*this);
  const std::chrono::duration<double> seconds = options_.clock.Now() - begun;
  LogInfo("blocks on SSD are back", {{"blocks", options_.blocks.stats().ssd_blocks},
                                     {"seconds", seconds.count()}});
  return absl::OkStatus();
}

void Migrate::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    bool worked = PromoteOne();
    worked |= PersistWaiting();
    worked |= WriteQueued();
    Sweep();
    lock.lock();
    if (!worked && !stop_) wake_.wait_for(lock, kIdleWait);
  }
}

void Migrate::Promote(const SpaceEntry& space, const PinnedFrame& frame,
                      const SsdLocation& location) {
  std::lock_guard lock(mutex_);
  if (stop_ || promotion_bytes_ + location.frame_bytes > options_.promote_bytes_max) {
    ++promotions_skipped_;
    return;
  }
  promotion_bytes_ += location.frame_bytes;
  promotions_.push_back({frame.pin.blocks()[0], location, frame.staged, &space});
  wake_.notify_one();
}

bool Migrate::PromoteOne() {
  Promotion promotion;
  {
    std::lock_guard lock(mutex_);
    if (promotions_.empty()) return false;
    promotion = std::move(promotions_.front());
    promotions_.pop_front();
    promotion_bytes_ -= promotion.location.frame_bytes;
  }
  FaultAt("migrate.promote");
  const auto bytes = promotion.frame->bytes();
  SlabHandle slab = options_.blocks.Reserve(*promotion.space, bytes.size(),
                                            options_.blocks.PriorityOf(promotion.block));
  bool done = false;
  if (slab) {
    CopyInto(slab.spans(), bytes);
    done = options_.blocks.Promote(promotion.block, promotion.location, std::move(slab));
  }
  done ? ++promoted_ : ++promotions_skipped_;
  return true;
}

bool Migrate::MayWrite() const {
  return in_flight_bytes_.load() < options_.write_bytes_max && in_flight_.load() < kWritesMax &&
         options_.clock.Now() >= write_again_.load();
}

// Bytes that records may take in all.
uint64_t Migrate::RoomOnSsd() {
  const TimePoint now = options_.clock.Now();
  const TimePoint read = usage_read_.load();
  if (read == TimePoint::min() || now - read >= kUsageEvery) {
    const uint64_t capacity = options_.ssd.usage().capacity_bytes;
    room_bytes_.store(SsdRoomBytes(capacity));
    usage_read_.store(now);
  }
  return room_bytes_.load();
}

void Migrate::Recode(BlockStore::SsdWrite& write) {
  const auto& recipe = write.space->codec.ssd_recipe;
  if (!recipe) return;
  auto recoded = recoder_.Recode(*recipe, write.spans);
  FrameView frame;
  if (!recoded || FrameView::Parse(*recoded, &frame) != FrameFault::kNone) return;
  write.recoded = *std::move(recoded);
  write.spans = {write.recoded};
  write.record.frame_root = frame.header().root;
  write.record.codec = frame.descriptors()[0].codec_id;
  write.record.fidelity = static_cast<uint8_t>(frame.fidelity());
  write.copy.codec_id = static_cast<uint8_t>(write.record.codec);
  write.copy.fidelity = write.record.fidelity;
  ++recoded_;
}

Migrate::Attempt Migrate::WriteOne(BlockRef block, bool urgent) {
  auto write = options_.blocks.BeginWrite(block);
  if (!write) return Attempt::kNotNow;
  // By the size that it has in memory, before the work of encoding it: what that makes is smaller.
  const uint64_t bytes_now = BytesOf(write->spans);
  const SsdNeed need = {write->space->account, write->record.priority, bytes_now, urgent};
  if (!options_.blocks.MakeRoomOnSsd(bytes_now + in_flight_bytes_.load(), RoomOnSsd(), need)) {
    ++no_room_;
    write_again_.store(options_.clock.Now() + kRefusedPause);
    options_.blocks.EndWrite(*std::move(write), std::nullopt);
    return Attempt::kNoRoom;
  }
  Recode(*write);
  const uint64_t bytes = BytesOf(write->spans);
  if (bytes > options_.ssd.frame_bytes_max()) {
    ++too_large_;
    options_.blocks.RefuseWrite(*std::move(write));
    return Attempt::kTooLarge;
  }
  SsdAppend append;
  append.record = write->record;
  append.frame.assign(write->spans.begin(), write->spans.end());
  append.deadline = options_.clock.Now() + kWriteTimeout;
  // With much in flight, waiting for fuller buffers would only let memory's evictions overtake.
  append.urgent = urgent || in_flight_bytes_.load() >= options_.write_bytes_max / 2 ||
                  in_flight_.load() >= kWritesMax / 2;
  in_flight_bytes_ += bytes;
  ++in_flight_;
  const auto shared = std::make_shared<BlockStore::SsdWrite>(*std::move(write));
  const absl::Status status =
      options_.ssd.Append(std::move(append), [this, shared](absl::StatusOr<SsdLocation> location) {
        Written(std::move(*shared), location);
      });
  if (status.ok()) return Attempt::kBegun;
  Written(std::move(*shared), status);
  return Attempt::kNotNow;
}

void Migrate::Written(BlockStore::SsdWrite write, const absl::StatusOr<SsdLocation>& location) {
  const uint64_t bytes = BytesOf(write.spans);
  if (location.ok()) {
    ++writes_;
    write_bytes_ += bytes;
    options_.blocks.EndWrite(std::move(write), *location);
  } else {
    ++write_failures_;
    write_again_.store(options_.clock.Now() + kRefusedPause);
    options_.blocks.EndWrite(std::move(write), std::nullopt);
  }
  {
    std::lock_guard lock(mutex_);
    in_flight_bytes_ -= bytes;
    wake_.notify_one();
    --in_flight_;  // the last touch: the destructor waits for it
  }
}

Migrate::Attempt Migrate::WriteChain(BlockRef block, bool urgent) {
  const std::vector<BlockRef> chain = options_.blocks.UnwrittenChain(block, kChainMax);
  bool started = false;
  for (const BlockRef next : chain) {
    if (!MayWrite()) break;
    // A child of what could not be written would be found by no restart.
    const Attempt attempt = WriteOne(next, urgent);
    if (attempt != Attempt::kBegun) return started ? Attempt::kBegun : attempt;
    started = true;
  }
  return started ? Attempt::kBegun : Attempt::kNotNow;
}

bool Migrate::WriteQueued() {
  bool worked = false;
  while (MayWrite()) {
    const auto block = options_.blocks.write_queue().Pop();
    if (!block) break;
    options_.blocks.Dequeued(*block);
    worked |= WriteChain(*block, /*urgent=*/false) == Attempt::kBegun;
  }
  return worked;
}

void Migrate::Sweep() {
  if (draining_.load() || options_.clock.Now() - swept_ < kSweepEvery) return;
  swept_ = options_.clock.Now();
  sweep_at_ = options_.blocks.SweepUnwritten(sweep_at_);
  // The disk may hold less than it did; reclaim would rewrite for ever what does not fit. Reserves go last.
  const bool fits = options_.blocks.MakeRoomOnSsd(0, RoomOnSsd(), {.wanted_now = true});
  if (!fits) options_.blocks.MakeRoomOnSsd(0, RoomOnSsd(), {.wanted_now = true, .of_disk = true});
}

void Migrate::Persist(PinSet block, Duration patience, Durable done) {
  const TimePoint deadline = options_.clock.Now() + patience;
  std::unique_lock lock(mutex_);
  if (stop_) {
    lock.unlock();
    done(Draining());
    return;
  }
  waiting_.push_back({std::move(block), deadline, std::move(done)});
  wake_.notify_one();
}

// What no later attempt would change; OK otherwise.
absl::Status Migrate::RefusalOf(Attempt attempt) const {
  const uint64_t room = room_bytes_.load();
  if (attempt == Attempt::kNoRoom) {
    return OverLimit("bytes of blocks that SSD may not give up", room, room);
  }
  if (attempt != Attempt::kTooLarge) return absl::OkStatus();
  return InvalidField("durability", "ssd",
                      absl::StrCat("memory, for a block (or a parent of it) of more than ",
                                   options_.ssd.frame_bytes_max(), " bytes"));
}

bool Migrate::PersistWaiting() {
  std::vector<Waiting> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting.swap(waiting_);
  }
  std::vector<Waiting> left;
  const TimePoint now = options_.clock.Now();
  for (Waiting& item : waiting) {
    const BlockStore::Written written = options_.blocks.WrittenOf(item.block);
    if (written == BlockStore::Written::kYes) {
      item.done(absl::OkStatus());
    } else if (written == BlockStore::Written::kGone) {
      // At once: until then our pin would keep it readable, which a TTL forbids.
      item.done(NotFound("block to be written to SSD", "expired or removed meanwhile"));
    } else if (now >= item.deadline) {
      item.done(DeadlineSpent("writing a block to SSD"));
    } else {
      // What failed is tried again, at the pace of other writes, until the deadline.
      const Attempt attempt = written == BlockStore::Written::kNo
                                  ? WriteChain(item.block.blocks()[0], /*urgent=*/true)
                                  : Attempt::kNotNow;
      if (const absl::Status refused = RefusalOf(attempt); !refused.ok()) {
        item.done(refused);
      } else {
        left.push_back(std::move(item));
      }
    }
  }
  const bool worked = left.size() < waiting.size();
  std::lock_guard lock(mutex_);
  waiting_.insert(waiting_.begin(), std::make_move_iterator(left.begin()),
                  std::make_move_iterator(left.end()));
  return worked;
}

uint64_t Migrate::Drain(TimePoint deadline) {
  draining_.store(true);
  if (!thread_.joinable()) return 0;
  const uint64_t before = writes_.load();
  for (const BlockRef block : options_.blocks.WarmestFirst()) {
    while (!MayWrite() && options_.clock.Now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (options_.clock.Now() >= deadline) break;
    WriteChain(block, /*urgent=*/false);
  }
  while (in_flight_.load() > 0 && options_.clock.Now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  options_.ssd.Flush(deadline).IgnoreError();  // what is not down by then is lost, as announced
  return writes_.load() - before;
}

Migrate::Stats Migrate::stats() const {
  return {.writes = writes_.load(),
          .write_bytes = write_bytes_.load(),
          .write_failures = write_failures_.load(),
          .recoded = recoded_.load(),
          .too_large = too_large_.load(),
          .no_room = no_room_.load(),
          .promotions = promoted_.load(),
          .promotions_skipped = promotions_skipped_.load(),
          .queued = options_.blocks.write_queue().size(),
          .in_flight_bytes = in_flight_bytes_.load()};
}

std::vector<bool> Migrate::Keep(std::span<const SsdEntry> entries) {
  return options_.blocks.KeepOnSsd(entries);
}

bool Migrate::Moved(const SsdEntry& from, SsdLocation to) {
  return options_.blocks.MovedOnSsd(from, to);
}

void Migrate::Damaged(const SsdEntry& entry, const absl::Status& reason) {
  options_.blocks.DamagedOnSsd(entry, {reason.message().data(), reason.message().size()});
}

}  // namespace larder::server
