// Admission of Put and Get streams: a bounded number at a time, refused beyond; streams that make
// no progress are cancelled. No client takes more than three quarters of them, so one that is slow, or opens all it
// can, leaves room for the others.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace larder::server {

enum class StreamKind : uint8_t { kPut = 0, kGet = 1 };

// Thread-safe. Must outlive its tickets.
class StreamGate {
 public:
  // A stream's admission, for as long as it lives. Not movable: the gate knows its address.
  class Ticket {
   public:
    // `cancel` is called under the gate's lock, perhaps more than once, until the ticket is gone: it must be quick, and
    // must not let go of a ticket.
    // `until`: after that nobody waits for it, so it is cancelled too.
    Ticket(StreamGate& gate, StreamKind kind, std::string client, std::function<void()> cancel,
           TimePoint until = TimePoint::max());
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    // RESOURCE_EXHAUSTED when streams_max, or too many of this client, are open already: the call's answer.
    const absl::Status& refusal() const { return refusal_; }
    // The stream moved bytes.
    void Touch() { last_progress_.store(gate_.clock_.Now(), std::memory_order_relaxed); }

   private:
    friend class StreamGate;
    StreamGate& gate_;
    const StreamKind kind_;
    const std::string client_;
    const std::function<void()> cancel_;
    const TimePoint until_;
    std::atomic<TimePoint> last_progress_;
    absl::Status refusal_;
    std::list<Ticket*>::iterator place_;
  };

  StreamGate(uint32_t streams_max, Duration idle_timeout, const Clock& clock)
      : streams_max_(streams_max), idle_timeout_(idle_timeout), clock_(clock) {}

  // Cancels every stream without progress for the idle timeout, or over its time. Called by the janitor.
  void CancelIdle();

  uint64_t open(StreamKind kind) const {
    return open_[static_cast<int>(kind)].load(std::memory_order_relaxed);
  }
  uint32_t streams_max() const { return streams_max_; }

 private:
  uint32_t client_streams_max() const { return streams_max_ - streams_max_ / 4; }

  const uint32_t streams_max_;
  const Duration idle_timeout_;
  const Clock& clock_;
  std::atomic<uint64_t> open_[2] = {};
  Mutex mutex_;
  std::list<Ticket*> tickets_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, uint32_t> by_client_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
