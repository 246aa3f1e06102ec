// The Put verb over a window: reads each block's payload from the client's window into its slab (or, before
// it is encoded, into staging) and verifies it there. The client may write to the window meanwhile: what is
// stored is what was verified, byte for byte, or nothing.
//
//   auto ingest = WindowIngest::Create({pool, metrics}, window, session, request);
//   ingest->Start([](absl::Status status, std::vector<IngestResult> results) { ... });
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "server/base/mutex.h"
#include "server/store/ingest.h"
#include "server/store/window_fetch.h"
#include "server/transport/turns.h"

namespace larder::server {

// Thread-safe. Owned by whoever started it and by its running transfer, which keeps the session's slab.
class WindowIngest : public std::enable_shared_from_this<WindowIngest> {
 public:
  struct Block {
    std::vector<std::byte> frame_header;
    uint64_t payload_offset = 0;  // inside the window, with its bytes
    uint64_t payload_bytes = 0;
    RetentionSpec retention;
  };
  struct Request {
    std::vector<Block> blocks;  // as many as the session expects
    uint64_t tag = 0;
    TimePoint deadline = TimePoint::max();
    // Called whenever a block is whole, before `done`; may be empty.
    std::function<void()> on_progress;
  };
  // A status that is not OK is about the call: its blocks broke the contract.
  using Done = std::function<void(absl::Status, std::vector<IngestResult>)>;

  static std::shared_ptr<WindowIngest> Create(const WindowParts& parts,
                                              std::shared_ptr<Window> window,
                                              std::unique_ptr<IngestSession> session,
                                              Request request);

  // `done` is called exactly once, when no transfer of this call runs any more: on this thread, a transport
  // thread, or an I/O thread when blocks must be durable. Call once.
  void Start(Done done);
  // The client is not interested any more: blocks that are not whole are left out.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  WindowIngest(const WindowParts& parts, std::shared_ptr<Window> window,
               std::unique_ptr<IngestSession> session, Request request)
      : parts_(parts),
        window_(std::move(window)),
        session_(std::move(session)),
        request_(std::move(request)) {}

  void Run();
  bool Work();
  absl::Status BeginNext();
  absl::Status GoOn();
  absl::Status TakeIn();
  void Read(const ByteSpans& landing);
  void Finish(absl::Status status);

  const WindowParts parts_;
  const std::shared_ptr<Window> window_;
  const std::unique_ptr<IngestSession> session_;
  const Request request_;
  Done done_;
  std::atomic<bool> cancelled_{false};
  Turns turns_;

  // Within a turn.
  size_t begun_ = 0;           // blocks; the last of them is arriving
  uint64_t payload_read_ = 0;  // of it
  uint64_t reading_ = 0;       // bytes of the running transfer
  bool stopped_ = false;       // a transfer failed
  bool finished_ = false;

  Mutex mutex_;
  std::optional<TransferEnd> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
