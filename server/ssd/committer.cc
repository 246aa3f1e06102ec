#include "server/ssd/committer.h"

#include <algorithm>
#include <future>

#include "proto/contract/errors.h"
#include "server/base/fault_point.h"
#include "server/base/log.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

// A round begins early when this much waits: more would not make the sync cheaper per byte.
constexpr uint64_t kRoundBytes = 32ull << 20;

absl::Status BytesLost() { return StorageFailed("writing a block", "the device refused it"); }

}  // namespace

Committer::Committer(const Parts& parts) : parts_(parts), thread_([this] { Run(); }) {}

Committer::~Committer() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void Committer::Take(Operation operation) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    if (waiting_.empty()) oldest_ = parts_.clock.Now();
    bytes_ += operation->frame_bytes;
    const bool was_urgent = std::exchange(urgent_, urgent_ || operation->urgent);
    wake = waiting_.empty() || (urgent_ && !was_urgent) || bytes_ >= kRoundBytes;
    waiting_.operations.push_back(std::move(operation));
  }
  if (wake) changed_.NotifyAll();
}

void Committer::Erase(std::string_view key, SsdLocation location) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    wake = waiting_.empty();
    if (wake) oldest_ = parts_.clock.Now();
    waiting_.erases.emplace_back(key, location);
  }
  if (wake) changed_.NotifyAll();
}

void Committer::Retain(std::string_view key, SsdLocation location, const SsdRetention& retention) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    wake = waiting_.empty();
    if (wake) oldest_ = parts_.clock.Now();
    waiting_.retains.insert_or_assign(std::string(key), std::pair(location, retention));
  }
  if (wake) changed_.NotifyAll();
}

void Committer::Hurry() {
  {
    MutexLock lock(mutex_);
    if (waiting_.empty()) return;
    urgent_ = true;
  }
  changed_.NotifyAll();
}

bool Committer::Round(TimePoint deadline) {
  MutexLock lock(mutex_);
  urgent_ = true;
  const uint64_t wanted = rounds_begun_ + 1;
  changed_.NotifyAll();
  while (rounds_ended_ < wanted) {
    if (parts_.clock.Now() >= deadline) return false;
    changed_.WaitFor(mutex_, std::chrono::milliseconds(5));
  }
  return true;
}

bool Committer::IsDue(TimePoint now) const {
  if (urgent_ || closing_ || bytes_ >= kRoundBytes) return true;
  return !waiting_.empty() && now - oldest_ >= parts_.commit_interval;
}

void Committer::Run() {
  while (true) {
    Changes changes;
    {
      MutexLock lock(mutex_);
      while (!IsDue(parts_.clock.Now())) {
        if (waiting_.empty()) {
          changed_.Wait(mutex_);
        } else {
          changed_.WaitFor(mutex_,
                           std::max(parts_.commit_interval / 4, std::chrono::milliseconds(1)));
        }
      }
      if (closing_ && waiting_.operations.empty() &&
          (waiting_.empty() || !catalog_works_.load(std::memory_order_relaxed))) {
        return;
      }
      changes = std::exchange(waiting_, {});
      bytes_ = 0;
      urgent_ = false;
      ++rounds_begun_;
    }
    Commit(std::move(changes));
    {
      MutexLock lock(mutex_);
      ++rounds_ended_;
    }
    changed_.NotifyAll();
  }
}

void Committer::Finish(const Operation& operation, absl::StatusOr<SsdLocation> result) {
  const SsdLocation location = operation->entry.location;
  const bool named = result.ok();
  if (!named) Add(parts_.counters.append_errors);
  const bool told = operation->End(std::move(result));
  // Its owner has given up and will never ask for it.
  if (named && !told) Erase(operation->entry.record.key, location);
  if (location) parts_.segments.EndAppend(location.segment);
}

void Committer::SyncDevices(std::vector<Operation>& operations) {
  std::vector<std::future<int>> errors(parts_.devices.size());
  for (const Operation& operation : operations) {
    const uint32_t device = DeviceOf(operation->entry.location.segment);
    if (operation->failed() || !operation->entry.location || errors[device].valid()) continue;
    auto ended = std::make_shared<std::promise<int>>();
    errors[device] = ended->get_future();
    parts_.devices[device]->Sync([ended](int error) { ended->set_value(error); });
  }
  std::vector<bool> synced(errors.size());
  for (size_t i = 0; i < errors.size(); ++i) synced[i] = errors[i].valid() && errors[i].get() == 0;
  std::erase_if(operations, [&](const Operation& operation) {
    const SsdLocation& location = operation->entry.location;
    if (location && !operation->failed() && synced[DeviceOf(location.segment)]) return false;
    Finish(operation, BytesLost());
    return true;
  });
}

void Committer::Commit(Changes changes) {
  SyncDevices(changes.operations);
  if (!catalog_works_.load(std::memory_order_relaxed) && !ReviveCatalog()) {
    return PutBack(std::move(changes));
  }
  if (changes.empty()) return;
  Catalog::Batch batch(parts_.catalog);
  Effects effects;
  absl::Status status = Collect(changes, batch, effects);
  if (status.ok()) {
    const WriteBudget::Day today = parts_.budget.Today();
    batch.PutNumber("written_day", today.day);
    batch.PutNumber("written_bytes", today.bytes);
    FaultAt("catalog.commit");
    if (!PlantedBug("ssd.commit_forgotten")) {
      status = parts_.catalog.Commit(batch, /*sync=*/!effects.named.empty());
    }
    FaultAt("catalog.committed");
  }
  overlay_.clear();
  if (!status.ok()) {
    LogError("the catalog of the SSD tier can not be written",
             {{"cause", std::string(status.message())}});
    catalog_works_.store(false, std::memory_order_release);
    revive_at_ = parts_.clock.Now() + parts_.retry_interval;
    changes.operations = std::move(effects.named);  // Collect has ended the others
    return PutBack(std::move(changes));
  }
  for (const SsdLocation& location : effects.added) parts_.segments.AddLive(location);
  for (const SsdLocation& location : effects.dropped) parts_.segments.DropLive(location);
  for (const Operation& operation : effects.named) Finish(operation, operation->entry.location);
}

absl::StatusOr<std::optional<StoredRecord>> Committer::Current(const std::string& key) const {
  if (const auto found = overlay_.find(key); found != overlay_.end()) return found->second;
  return parts_.catalog.Find(key);
}

absl::Status Committer::Collect(Changes& changes, Catalog::Batch& batch, Effects& effects) {
  effects.named = std::move(changes.operations);
  absl::Status failed;
  std::erase_if(effects.named, [&](const Operation& operation) {
    if (!failed.ok()) return false;
    const StoredRecord record = {operation->entry, operation->sequence};
    const auto current = Current(record.entry.record.key);
    if (!current.ok()) {
      failed = current.status();
      return false;
    }
    const bool gone =
        operation->moved_from.has_value() &&
        (!current->has_value() || (*current)->entry.location != operation->moved_from);
    if (gone || operation->ended()) {
      Finish(operation, NotFound("block to be moved on SSD", "erased meanwhile"));
      return true;
    }
    if (current->has_value()) effects.dropped.push_back((*current)->entry.location);
    effects.added.push_back(record.entry.location);
    batch.Put(record);
    overlay_[record.entry.record.key] = record;
    return false;
  });
  if (!failed.ok()) return failed;
  for (const auto& [key, change] : changes.retains) {
    const auto current = Current(key);
    if (!current.ok()) return current.status();
    if (!current->has_value() || (*current)->entry.location != change.first) continue;
    StoredRecord record = **current;
    record.entry.record.priority = change.second.priority;
    record.entry.record.expires_ms = change.second.expires_ms;
    record.entry.record.priority_until_ms = change.second.priority_until_ms;
    batch.Put(record);
    overlay_[key] = record;
  }
  for (const auto& [key, location] : changes.erases) {
    const auto current = Current(key);
    if (!current.ok()) return current.status();
    if (!current->has_value() || (*current)->entry.location != location) continue;
    batch.Delete(key);
    overlay_[key] = std::nullopt;
    effects.dropped.push_back(location);
  }
  return absl::OkStatus();
}

// Appends end now; names that were to go must go once the catalog works again, ahead of what came
// meanwhile.
void Committer::PutBack(Changes changes) {
  for (const Operation& operation : changes.operations) {
    Finish(operation, StorageFailed("naming a block", "the catalog can not be written"));
  }
  MutexLock lock(mutex_);
  if (waiting_.empty()) oldest_ = parts_.clock.Now();
  waiting_.erases.insert(waiting_.erases.begin(), changes.erases.begin(), changes.erases.end());
  waiting_.retains.merge(changes.retains);  // what came meanwhile is newer
}

bool Committer::ReviveCatalog() {
  if (parts_.clock.Now() < revive_at_) return false;
  revive_at_ = parts_.clock.Now() + parts_.retry_interval;
  const absl::Status status = parts_.catalog.Reopen();
  if (!status.ok()) return false;
  LogInfo("the catalog of the SSD tier works again");
  catalog_works_.store(true, std::memory_order_release);
  return true;
}

}  // namespace larder::server
