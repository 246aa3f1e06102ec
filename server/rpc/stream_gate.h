// Admission of Put and Get streams: a bounded number at a time, refused beyond; streams that make
// no progress are cancelled.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <list>

#include "absl/base/thread_annotations.h"
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
    Ticket(StreamGate& gate, StreamKind kind, grpc::CallbackServerContext* context);
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    // False when streams_max are open already: answer RESOURCE_EXHAUSTED.
    bool admitted() const { return admitted_; }
    // The stream moved bytes.
    void Touch() { last_progress_.store(gate_.clock_.Now(), std::memory_order_relaxed); }

   private:
    friend class StreamGate;
    StreamGate& gate_;
    const StreamKind kind_;
    grpc::CallbackServerContext* const context_;
    std::atomic<TimePoint> last_progress_;
    bool admitted_ = false;
    std::list<Ticket*>::iterator place_;
  };

  StreamGate(uint32_t streams_max, Duration idle_timeout, const Clock& clock)
      : streams_max_(streams_max), idle_timeout_(idle_timeout), clock_(clock) {}

  // Cancels every stream without progress for the idle timeout. Called by the janitor.
  void CancelIdle();

  uint64_t open(StreamKind kind) const {
    return open_[static_cast<int>(kind)].load(std::memory_order_relaxed);
  }
  uint32_t streams_max() const { return streams_max_; }

 private:
  const uint32_t streams_max_;
  const Duration idle_timeout_;
  const Clock& clock_;
  std::atomic<uint64_t> open_[2] = {};
  Mutex mutex_;
  std::list<Ticket*> tickets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
