// A window: memory of a client that the server writes into (get) or reads from (put). The client owns the
// memory and may change, unmap or lose it at any moment; a window never trusts a byte of it and never lets
// it harm the server.
//
// Transfer  Write and Read move bytes between server memory and the window. Each ends exactly once, by
//           calling `done` with its one terminal state: on the caller's thread before it returns (shared
//           memory) or later on a transport thread. `done` runs after the last moment at which the transfer
//           may touch either side's memory. A transfer that has not ended at its deadline ends with
//           kOverDeadline as soon as that is true of it; one whose client is gone ends with kPeerGone.
// Ranges    are checked by the caller before (InWindow): a range outside the window is a bug of ours here.
// Lifetime  shared: the table holds a window while it is open, every running call while it runs. The client's
//           memory is let go with the last owner.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "server/base/clock.h"
#include "server/base/plane.h"
#include "server/tier/tier.h"

namespace larder::server {

using TransferDone = std::function<void(TransferEnd)>;

// One transfer: where in the window, and until when.
struct Transfer {
  uint64_t offset = 0;
  // Message planes: the tag that the client chose for this block.
  uint64_t tag = 0;
  // Shared memory: the block's progress slot, told as the bytes arrive. Absent: none.
  std::optional<uint64_t> progress_offset;
  TimePoint deadline;
  // Shared memory, Write: what is copied stays in this core's caches, for a reader that shares them.
  bool to_caches = false;
  // Read: told of the bytes that the target gets, in order, all of them before `done`, and nobody else's then. Where they
  // arrive in pieces it is called for each, on a transport thread that has it in its cache. May be empty.
  std::function<void(std::span<const std::byte>)> landed = nullptr;
};

class Window {
 public:
  virtual ~Window() = default;
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  virtual PlaneKind plane() const = 0;
  virtual uint64_t bytes() const = 0;
  // How many transfers one call should keep running: 1 where they end at once.
  virtual int transfers_max() const = 0;
  // Reads of at most this many bytes at a time suit it: where they are copies, what one verifies while it is
  // still in the cache.
  virtual uint64_t step_bytes() const = 0;

  // The spans, in order, to the window. They must stay readable until `done`. Ends the progress slot.
  virtual void Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) = 0;
  // The window to the spans, in order. They must stay writable until `done`.
  virtual void Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) = 0;

  // The block of this transfer will not come: tells its progress slot, where the plane has them.
  virtual void Skip(const Transfer& transfer) = 0;

  // No further transfer begins; those that run end soon, with kPeerGone unless they are through.
  virtual void Close() = 0;

 protected:
  Window() = default;
};

// Whether `length` bytes at `offset` lie inside `bytes` bytes; safe for any values.
constexpr bool InWindow(uint64_t offset, uint64_t length, uint64_t bytes) {
  return offset <= bytes && length <= bytes - offset;
}

}  // namespace larder::server
