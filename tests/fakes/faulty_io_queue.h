// An I/O queue over a real one that fails, holds back or damages operations when it is told to.
#pragma once

#include <cerrno>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "server/base/mutex.h"
#include "server/ssd/io_queue.h"

namespace larder::server {

// What the queues made from one plan do, so that a test keeps its hand on a queue that was replaced.
// Thread-safe. Must outlive its queues.
class IoFaults {
 public:
  enum class Kind : uint8_t { kRead, kWrite, kSync };

  // Every operation of the kind ends with this errno, which is not tried; 0: works again.
  void Fail(Kind kind, int error) {
    MutexLock lock(mutex_);
    errors_[static_cast<int>(kind)] = error;
  }
  void FailAll(int error) {
    for (const Kind kind : {Kind::kRead, Kind::kWrite, Kind::kSync}) Fail(kind, error);
  }
  // Operations wait, as on a device that does not answer, until Release.
  void Stall() {
    MutexLock lock(mutex_);
    stalled_ = true;
  }
  void Release() {
    std::deque<std::function<void()>> held;
    {
      MutexLock lock(mutex_);
      stalled_ = false;
      held.swap(held_);
    }
    for (const std::function<void()>& run : held) run();
  }
  uint64_t operations() const {
    MutexLock lock(mutex_);
    return operations_;
  }

  // Runs `run`, holds it back, or fails with `done`.
  void Admit(Kind kind, const IoDone& done, std::function<void()> run) {
    int error = 0;
    {
      MutexLock lock(mutex_);
      ++operations_;
      if (stalled_) return held_.push_back(std::move(run));
      error = errors_[static_cast<int>(kind)];
    }
    error == 0 ? run() : done(error);
  }

 private:
  mutable Mutex mutex_;
  int errors_[3] ABSL_GUARDED_BY(mutex_) = {0, 0, 0};
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
};

// Thread-safe. `done` of a failed operation runs on the caller's thread, which a real queue never does:
// who relies on the difference has a bug.
class FaultyIoQueue final : public IoQueue {
 public:
  FaultyIoQueue(const IoQueueOptions& options, IoFaults& faults)
      : queue_(OpenIoQueue(options)), faults_(faults) {}
  // As of a real queue: waits for what is held back, which somebody must release.
  ~FaultyIoQueue() override = default;

  void Read(uint64_t offset, std::span<std::byte> into, IoDone done) override {
    faults_.Admit(IoFaults::Kind::kRead, done,
                  [this, offset, into, done] { queue_->Read(offset, into, done); });
  }
  void Write(uint64_t offset, std::span<const std::byte> from, IoDone done) override {
    faults_.Admit(IoFaults::Kind::kWrite, done,
                  [this, offset, from, done] { queue_->Write(offset, from, done); });
  }
  void Sync(IoDone done) override {
    faults_.Admit(IoFaults::Kind::kSync, done, [this, done] { queue_->Sync(done); });
  }
  std::string_view name() const override { return "faulty"; }

 private:
  const std::unique_ptr<IoQueue> queue_;
  IoFaults& faults_;
};

}  // namespace larder::server
