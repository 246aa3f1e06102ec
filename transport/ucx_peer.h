// The other end of one UCX connection, and the transfers over it.
//
//   server  Push  sends a block to the client, which expects it under a tag
//           Pull  asks for a block that the client offers under a tag, piece by piece
//   client  Expect  takes the bytes of a block under a tag; Offer names memory for one; Withdraw takes it back
//
// Bytes arrive in memory of UCX and are copied from there on the worker's thread, so nobody but that thread ever writes
// what a transfer names, and what comes late finds no transfer and is dropped.
//
// Every transfer ends exactly once, by calling its Done after the last moment at which its memory may be touched:
//   kDone          all bytes have moved (Push: and the receiver has them, or UCX has copied them)
//   kOverDeadline  the deadline passed, or Withdraw came before all bytes
//   kPeerGone      the connection ended: closed, broken, or the other side is dead
//   kFailed        the other side offers no such bytes
// UCX can not call back what it has begun to send. So at a deadline no further piece begins, those under way get
// kUcxGrace, and after that the whole connection is closed by force: its other transfers end with kPeerGone.
// A deadline is therefore kept within kUcxGrace plus a tick of the worker. A connection on which nothing moves for
// `stall` though bytes are under way is closed, too: the other side's kernel may answer for a process that is
// stopped, and a transfer may have no deadline.
//
// At most `bytes_max` bytes of one peer are under way; a worker serves its peers piece by piece, in turn.
//
// Made by UcxWorker. Public methods are thread-safe; Done and Arrive run on the worker's thread (or, when
// nothing was under way, on the caller's) and must be quick. Keeps itself alive while a transfer runs.
#pragma once

#include <ucp/api/ucp.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "transport/ucx_mailbox.h"
#include "transport/ucx_messages.h"

namespace larder::transport {

enum class UcxEnd : uint8_t { kDone, kOverDeadline, kPeerGone, kFailed };

using UcxTime = std::chrono::steady_clock::time_point;
using UcxSpans = std::vector<std::span<std::byte>>;

inline constexpr auto kUcxGrace = std::chrono::milliseconds(50);

class UcxPeer : public std::enable_shared_from_this<UcxPeer> {
 public:
  using Done = std::function<void(UcxEnd)>;
  // The next bytes of a block, from its start on in order, and how long the block is. They are UCX's: gone when it returns.
  using Arrive =
      std::function<void(uint64_t offset, std::span<const std::byte> bytes, uint64_t block_bytes)>;

  struct Limits {
    // Bytes of one connection that are under way at most: its share of the link.
    uint64_t bytes_max = 8 * kUcxMessageBytes;
    // As long as a stream of gRPC may bring nothing.
    std::chrono::milliseconds stall{10'000};
  };

  // `endpoint` is the peer's from now on. `gone` runs once, on the worker's thread, when it is destroyed.
  UcxPeer(ucp_ep_h endpoint, std::shared_ptr<UcxMailbox> mailbox, const Limits& limits);
  ~UcxPeer();
  UcxPeer(const UcxPeer&) = delete;
  UcxPeer& operator=(const UcxPeer&) = delete;

  void Push(uint64_t tag, UcxSpans source, UcxTime deadline, Done done);
  // The target's bytes of the block begin at `offset`, as the client counts (Offer). `landed` may be null; it is told of
  // the bytes that go there, in order and in pieces that are in a cache of the worker's core. They are UCX's.
  using Landed = std::function<void(std::span<const std::byte> bytes)>;
  void Pull(uint64_t tag, uint64_t offset, UcxSpans target, UcxTime deadline, Landed landed,
            Done done);

  // A block of at most `bytes_max` bytes. A tag must not be in use.
  void Expect(uint64_t tag, uint64_t bytes_max, Arrive arrive, Done done);
  // The spans stay unchanged until `done`. The first byte is the one at `offset` for a Pull. Ends with Withdraw (then
  // kDone) or with the connection.
  void Offer(uint64_t tag, uint64_t offset, UcxSpans source, Done done);
  // Ends what is expected or offered under the tag: at once, or for what is expected at `until` when all of it
  // has not arrived before. No-op for an unknown tag.
  void Withdraw(uint64_t tag, UcxTime until = UcxTime::min());

  // Sends the other side a text. Dropped with the connection, which ends when the other side takes none.
  void Tell(std::string text);

  // Ends the connection by force; every transfer ends soon.
  void Close();

  // The rest is the worker's, on its thread.
  ucp_ep_h endpoint() const { return endpoint_; }
  void Tick(UcxTime now);
  void CloseNow();
  bool closing() const { return closing_; }
  // Asks UCX whether the endpoint of a closing peer is destroyed; ends every transfer then.
  bool IsGone();
  // UCX has said that the connection is broken; on the worker's thread, from a callback or not.
  void Break();
  // Sends a message without bytes, soon. `head` is copied.
  void SendHead(unsigned message, const void* head, size_t bytes);
  // Messages that have arrived.
  void OnPush(const UcxPush& head, std::span<const std::byte> bytes);
  void OnAnswer(const UcxAnswer& head, std::span<const std::byte> bytes);
  void OnPull(const UcxPull& head);

 private:
  enum class Kind : uint8_t { kPush, kPull, kExpect, kOffer };
  struct Transfer;
  struct Piece;
  using TransferPtr = std::shared_ptr<Transfer>;
  // What to call once the lock is released.
  struct Ended {
    Done done;
    UcxEnd end = UcxEnd::kDone;
    Landed landed = nullptr;  // let go of
    void Tell() const {
      if (done) done(end);
    }
  };

  // Registers it; false when the connection is gone.
  bool Add(const TransferPtr& transfer, bool has_tag);
  void Run(const TransferPtr& transfer);
  // Both under the lock.
  void BeginBytes(uint64_t bytes);
  bool QueueAnswers(const TransferPtr& offer, const UcxPull& head);
  // Begins what the bound allows, and sends.
  void Pump();
  // The same, when UCX has returned: for its callbacks, from within which it must not be given a message. A send that
  // completes there is not over for UCX's TCP, which would put the next one aside and end the process when that fails.
  void PumpSoon();
  void BeginPiece(const TransferPtr& transfer, uint64_t offset, uint64_t bytes);
  // Sends what is queued, one after the other: of several that it holds UCX may send a later one first.
  void SendQueued();
  std::unique_ptr<Piece> NextQueued();
  // Whether it is sent; else UCX tells.
  bool Send(std::unique_ptr<Piece> piece);
  void OnSent(const Piece& piece, ucs_status_t status);
  // Of a message that `under_way` counts.
  void OnPieceEnd(const TransferPtr& transfer, uint64_t bytes, ucs_status_t status);
  // Ends it with `end`, now or when its pieces have ended. By value: the maps let go of it.
  Ended EndLocked(TransferPtr transfer, UcxEnd end);
  Ended FinishLocked(TransferPtr transfer);

  const ucp_ep_h endpoint_;
  const std::shared_ptr<UcxMailbox> mailbox_;
  const Limits limits_;

  std::mutex mutex_;                           // of the following and of every transfer's state
  std::map<uint64_t, TransferPtr> transfers_;  // all, by number
  std::map<uint64_t, TransferPtr> tags_;       // expected and offered ones that are not ending
  std::deque<TransferPtr> waiting_;            // pushes and pulls with pieces that have not begun
  std::deque<std::unique_ptr<Piece>> queued_;  // with bytes, to be sent in this order
  uint64_t bytes_under_way_ = 0;
  uint64_t number_ = 0;
  bool gone_ = false;

  // Confined to the worker's thread.
  std::deque<std::unique_ptr<Piece>> heads_;  // without bytes of a block, to be sent before
  bool sending_ = false;                      // UCX has a message, or SendQueued runs
  bool pump_due_ = false;
  bool broken_ =
      false;  // UCX has said so: at another message it would abort before it tells of the break
  bool closing_ = false;
  UcxTime moved_at_;  // when a piece began after none was under way, or ended
  ucs_status_ptr_t close_request_ = nullptr;
};

// Copies what arrives to `target`, which must stay until the transfer has ended.
UcxPeer::Arrive ArriveIn(std::span<std::byte> target);

}  // namespace larder::transport
