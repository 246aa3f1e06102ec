// The Get verb over a window: fetches the blocks of one get, in order, and writes each frame into the
// client's window as soon as it is there. Where transfers take time (message planes) several run at once;
// where they are copies, one thread of the pool does one block and then gives way to other calls.
//
//   auto fetch = WindowFetch::Create({pool, metrics}, window, session, request);
//   fetch->Start([](std::vector<WindowFetch::Outcome> outcomes) { ... });
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "proto/contract/shm_window.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/store/fetch.h"
#include "server/transport/transport_pool.h"
#include "server/transport/turns.h"
#include "server/transport/window.h"

namespace larder::server {

// What the window verbs work with; outlives every call.
struct WindowParts {
  TransportPool& pool;
  Metrics& metrics;
};

// Thread-safe. Owned by whoever started it and by its running transfers, of which each keeps its frame
// pinned.
class WindowFetch : public std::enable_shared_from_this<WindowFetch> {
 public:
  // Up to this many bytes are copied on the caller's thread: less than a change of threads costs.
  static constexpr uint64_t kAtOnceBytes = 64 * 1024;
  // Blocks of one turn, so that a thread which serves others as well is not kept: about 0.1 ms of look-ups.
  static constexpr int kTurnBlocks = 64;

  struct Target {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  struct Request {
    std::vector<Target> targets;  // one per block of the session, all inside the window
    std::optional<uint64_t> progress_offset;
    uint64_t tag = 0;
    // After the first block that is no hit, the rest is the same miss.
    bool prefix = false;
    bool to_caches = false;  // Transfer's
    TimePoint deadline = TimePoint::max();
    // Called whenever a block has ended, before `done`; may be empty.
    std::function<void()> on_progress;
  };
  struct Outcome {
    bool hit = false;
    bool too_large = false;
    MissReason miss_reason = MissReason::kNone;
    uint64_t frame_bytes = 0;  // of a hit, or of what is too large
  };
  using Done = std::function<void(std::vector<Outcome>)>;

  static std::shared_ptr<WindowFetch> Create(const WindowParts& parts,
                                             std::shared_ptr<Window> window,
                                             std::unique_ptr<FetchSession> session,
                                             Request request);

  // `done` is called exactly once, when no transfer of this call runs any more: on this thread or a
  // transport thread. Call once.
  void Start(Done done);
  // The client is not interested any more: what has not begun is a miss.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  WindowFetch(const WindowParts& parts, std::shared_ptr<Window> window,
              std::unique_ptr<FetchSession> session, Request request)
      : parts_(parts),
        window_(std::move(window)),
        session_(std::move(session)),
        request_(std::move(request)),
        outcomes_(request_.targets.size()) {}

  void Wake();
  void TakeTurn(bool small);
  bool IsQuick() const;
  void Run();
  bool Work();
  void Ask();
  void Answer(FetchAnswer answer);
  void Miss(const Outcome& outcome);
  void Collect();
  Transfer TransferOf(size_t index) const;

  const WindowParts parts_;
  const std::shared_ptr<Window> window_;
  const std::unique_ptr<FetchSession> session_;
  const Request request_;
  Done done_;
  std::atomic<bool> cancelled_{false};
  Turns turns_;

  // Within a turn.
  std::vector<Outcome> outcomes_;
  size_t next_ = 0;  // block whose answer comes next
  bool asked_ = false;
  int running_ = 0;

  Mutex mutex_;
  std::optional<FetchAnswer> answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<size_t, TransferEnd>> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
