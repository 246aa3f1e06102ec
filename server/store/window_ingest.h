// The Put verb over a window: reads each block's payload from the client's window into its slab (or, before
// it is encoded, into staging) and verifies it there. The client may write to the window meanwhile: what is
// stored is what was verified, byte for byte, or nothing.
//
// Where transfers take time, the payloads of the next blocks are on their way while one is verified: as many as
// the window runs at a time, and up to kAheadBytes beside the first. They are taken in in order. A client may name
// the blocks of a call bit by bit: those that it has named are read while it prepares the next.
//
//   auto ingest = WindowIngest::Create({pool, metrics}, window, session, request);
//   ingest->Start([](absl::Status status, std::vector<IngestResult> results) { ... });
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
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
    std::vector<Block> blocks;  // of those that the session expects the first; Add brings the rest
    uint64_t tag = 0;
    TimePoint deadline = TimePoint::max();
    // Called whenever a block is whole, before `done`; may be empty.
    std::function<void()> on_progress;
  };
  // Enough to hide a round trip, and what verifying takes, at several GB/s.
  static constexpr uint64_t kAheadBytes = 8 << 20;

  // A status that is not OK is about the call: its blocks broke the contract.
  using Done = std::function<void(absl::Status, std::vector<IngestResult>)>;

  static std::shared_ptr<WindowIngest> Create(const WindowParts& parts,
                                              std::shared_ptr<Window> window,
                                              std::unique_ptr<IngestSession> session,
                                              Request request);

  // `done` is called exactly once, when no transfer of this call runs any more: on this thread, a transport
  // thread, or an I/O thread when blocks must be durable. Call once.
  void Start(Done done);
  // The next blocks. More than the session expects are not kept, and end the call unless it has ended.
  void Add(std::vector<Block> blocks);
  // The client broke the contract: the call ends with that.
  void Refuse(const absl::Status& status);
  // The client is not interested any more: blocks that are not whole are left out. Never calls `done` itself.
  void Cancel();

 private:
  WindowIngest(const WindowParts& parts, std::shared_ptr<Window> window,
               std::unique_ptr<IngestSession> session, Request request)
      : parts_(parts),
        window_(std::move(window)),
        session_(std::move(session)),
        request_(std::move(request)),
        quick_(window_->transfers_max() > 1 && !session_->Encodes()) {
    turns_.Wake();  // nothing runs before Start
  }

  // A block whose payload is read before its turn.
  struct Ahead {
    size_t index = 0;
    uint64_t bytes = 0;
    IngestRoom room;
    std::optional<TransferEnd> end{};  // written once, under the ingest's mutex
  };

  void Post();
  void Run();
  bool Work();
  void TakeAdded();
  void ReadAhead();
  bool FrontHasCome();
  bool AheadHasEnded();
  absl::Status BeginNext();
  absl::Status GoOn();
  absl::Status TakeIn();
  void Read(const ByteSpans& landing);
  Transfer TransferOf(size_t index) const;
  void Count(TransferEnd end, uint64_t bytes);
  void Wake();
  void Fail(absl::Status status);
  void Finish();

  const WindowParts parts_;
  const std::shared_ptr<Window> window_;
  const std::unique_ptr<IngestSession> session_;
  Request request_;  // its blocks are the turns'
  // No byte is copied in a turn, few are verified, none encoded: a change of threads would cost more than it.
  const bool quick_;
  Done done_;
  std::atomic<bool> cancelled_{false};
  Turns turns_;

  // Within a turn.
  std::deque<Block> blocks_;                  // that are known
  size_t begun_ = 0;                          // of them; the last is arriving
  uint64_t payload_read_ = 0;                 // of it
  uint64_t reading_ = 0;                      // bytes of the running transfer
  std::deque<std::shared_ptr<Ahead>> ahead_;  // in order; those before the begun block's are gone
  uint64_t ahead_bytes_ = 0;                  // of their payloads
  size_t looked_ahead_ = 0;                   // blocks that are ahead, were, or can not be
  bool stopped_ = false;                      // nothing further begins
  absl::Status failed_;                       // the client broke the contract
  bool finished_ = false;

  Mutex mutex_;
  std::optional<TransferEnd> ended_ ABSL_GUARDED_BY(mutex_);
  std::vector<Block> added_ ABSL_GUARDED_BY(mutex_);
  size_t named_ ABSL_GUARDED_BY(mutex_) = 0;  // blocks that were added
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
