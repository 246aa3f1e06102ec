// The client's side of a window: memory that a server writes into and reads from, and what keeps it open.
// Internal to the client library.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "client/cache_choice.h"
#include "client/call_link.h"
#include "client/client.h"
#include "client/outgoing_frame.h"
#include "proto/contract/shm_window.h"

namespace larder {

// Fewer cores than three are taken by the thread that receives and the server's that sends, when both are here: then one thread does
// all that a call's end has to do, with what it has in its cache, in place of two that would take turns.
inline bool FewCores() {
  static const bool few = std::thread::hardware_concurrency() < 3;
  return few;
}

// Part of a window.
struct WindowSpan {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Thread-safe. The memory stays mapped as long as the object lives, also after Disconnect: views into it may
// outlive the window.
class ClientWindow {
 public:
  virtual ~ClientWindow() = default;
  ClientWindow(const ClientWindow&) = delete;
  ClientWindow& operator=(const ClientWindow&) = delete;

  virtual PlaneKind plane() const = 0;
  virtual std::span<std::byte> memory() const = 0;
  virtual std::string_view id() const = 0;
  // Calls over the connection that keeps it open.
  virtual CallLink& calls() = 0;
  // Whether the server still has it, as far as can be told without asking. Cheap.
  virtual bool alive() const = 0;
  // Whether the server tells the progress slots of a get while it writes; else the window does, as bytes arrive.
  virtual bool server_tells() const = 0;
  // How the server should copy into it; null: a plane without such copies.
  virtual CacheChoice* cache_choice() { return nullptr; }

  // The next bytes of a block, in order, and how long it is. They are the window's: gone when it returns.
  using Arrived =
      std::function<void(size_t position, std::span<const std::byte> bytes, uint64_t frame_bytes)>;
  // A get into these spans, one per block, is about to be sent; returns the tag it carries. `slots`, zeroed, one per span,
  // tell how far each has come; they must live until the call has ended. `arrived`, of a window whose server does not tell:
  // called in place of writing the spans and telling, on the thread that has just received the bytes and has them in its
  // cache; one call at a time, none after EndCall has returned true.
  virtual uint64_t BeginGet(std::span<const WindowSpan> spans, std::span<ProgressSlot> slots,
                            Arrived arrived) = 0;
  // The payload of a block that is put, and the span under which the server asks for it.
  struct Payload {
    WindowSpan span;
    std::span<const OutgoingFrame::Piece> pieces;
  };
  // Whether payloads are sent from wherever they stand, so that their spans only need to fit the window; else the server
  // reads them there.
  virtual bool sends_from_anywhere() const = 0;
  // The same for a put. Nothing is read before the server is told of a block.
  virtual uint64_t BeginPut(std::span<const Payload> payloads) = 0;
  // Waits for what a get was answered to have sent of each block, 0 for no hit. False when it has not come by
  // then.
  virtual bool AwaitArrival(uint64_t tag, std::span<const uint64_t> frame_bytes,
                            std::chrono::steady_clock::time_point until) = 0;
  // The call has ended; `answered`: by the server itself. Whether it is certain that nothing touches its spans
  // any more.
  virtual bool EndCall(uint64_t tag, bool answered) = 0;

  // The right to do, on the calling thread, what a thread of the window does else: its callbacks come on this thread then. For who
  // would only wait for them, where cores are few. Null: there is nothing to be done, or another thread has it.
  class Turn {
   public:
    virtual ~Turn() = default;
    // What is there to be done; does not wait.
    virtual void Step() = 0;
    // Until `done` is true, or the time has come.
    virtual void Until(std::chrono::steady_clock::time_point until,
                       const std::function<bool()>& done) = 0;
    // The thread that waits for the call takes the next one.
    virtual void LeaveToWaiter() = 0;
  };
  virtual std::unique_ptr<Turn> TakeTurn() { return nullptr; }

  // Tells the server that the client is done with it; its transfers over the window and its calls end.
  virtual void Disconnect() = 0;

 protected:
  ClientWindow() = default;
};

}  // namespace larder
