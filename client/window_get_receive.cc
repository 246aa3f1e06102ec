// The receiving of a get over a window, on the thread that waits for the call.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "client/progress_wait.h"
#include "client/window_get_internal.h"
#include "proto/contract/errors.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// While so much of a call is still to come the server may run ahead, which costs no time (the check is faster
// than the copy) and spares the CPU the spinning.
constexpr uint64_t kRunAheadBytes = 3 << 20;

}  // namespace

// What the window's thread does with what arrives.
ClientWindow::Arrived WindowGet::ToBatch() {
  return [batch = batch_](size_t position, auto bytes, uint64_t frame_bytes) {
    std::lock_guard lock(batch->mutex);
    if (batch->get == nullptr) return;  // the call could not be ended in time
    ArrivingFrame& frame = batch->get->blocks_[position].frame;
    frame.TakeIn(bytes, frame_bytes);
    if (!frame.whole()) return;
    if (++batch->whole == batch->get->blocks_.size()) batch->changed.notify_one();
  };
}

// On the thread that waits for the call.
void WindowGet::WaitFor() {
  const bool whole = on_arrival_ ? SeeReceived() : Receive();
  if (whole) RecordTime();
  // But a prefix's answer has its lease.
  const bool enough = whole && !work_->prefix;
  if (!enough) AwaitAnswer();
  Conclude(!enough);
}

// Until every block is whole (of a prefix, whose answer has its lease: until that), or the answer says which will not come. Whether
// every block is whole.
bool WindowGet::SeeReceived() {
  const size_t blocks = blocks_.size();
  const auto seen = [&] {
    return batch_->answered.load() || (batch_->whole == blocks && !work_->prefix);
  };
  if (const auto turn = over_link_ ? open_.window->TakeTurn() : nullptr) {
    turn->Until(SteadyOf(deadline_), [&] {
      std::lock_guard lock(batch_->mutex);
      return seen();
    });
  }
  {
    std::unique_lock lock(batch_->mutex);
    if (!over_link_) {
      batch_->changed.wait(lock, seen);
    } else {
      batch_->changed.wait_until(lock, deadline_, seen);
    }
    if (batch_->whole == blocks) return true;
  }
  GiveUpWhenLate();
  return false;
}

void WindowGet::AwaitAnswer() {
  const auto answered = [this] { return batch_->answered.load(); };
  {
    std::unique_lock lock(batch_->mutex);
    if (!over_link_) return batch_->changed.wait(lock, answered);
    if (batch_->changed.wait_until(lock, deadline_, answered)) return;
  }
  GiveUpWhenLate();
}

// gRPC answers at the deadline by itself.
void WindowGet::GiveUpWhenLate() {
  if (!over_link_ || std::chrono::system_clock::now() < deadline_) return;
  batch_->Answer(DeadlineSpent("get"));
}

// Block after block, as far as the slots tell. Whether every block is whole.
bool WindowGet::Receive() {
  for (size_t position = 0; position < blocks_.size(); ++position) ReceiveBlock(position);
  return std::ranges::all_of(blocks_, [](const auto& block) { return block.frame.whole(); });
}

void WindowGet::ReceiveBlock(size_t position) {
  Arriving& block = blocks_[position];
  ProgressSlot& slot = SlotAt(position);
  while (true) {
    GiveUpWhenLate();
    const bool last_look = batch_->answered.load(std::memory_order_acquire);
    const uint32_t state = slot.state.load(std::memory_order_acquire);
    const bool begun = (state & ProgressSlot::kBegun) != 0;
    if (begun) {
      const uint64_t frame_bytes = slot.frame_bytes.load(std::memory_order_relaxed);
      const uint64_t available = (state & ProgressSlot::kUnitsMask) * ProgressSlot::kUnitBytes;
      block.frame.Feed(frame_bytes, std::min(available, frame_bytes));
    }
    if ((state & ProgressSlot::kEnded) != 0 || last_look) return;
    AwaitMore(position, state, begun);
  }
}

// Bytes of the blocks behind this one, at most.
uint64_t WindowGet::BytesBehind(size_t position) const {
  uint64_t bytes = 0;
  for (size_t i = position + 1; i < blocks_.size() && bytes < kRunAheadBytes; ++i) {
    bytes += blocks_[i].span.bytes;
  }
  return bytes;
}

void WindowGet::AwaitMore(size_t position, uint32_t seen, bool begun) {
  ProgressSlot& slot = SlotAt(position);
  if (begun && open_.window->server_tells()) {
    if (!work_->options.on_layers && BytesBehind(position) >= kRunAheadBytes) return Nap();
    if (SpinUntilChanged(slot.state, seen)) return;
  }
  slot.waiters.store(1);
  batch_->sleeping_on.store(&slot.state);
  if (!batch_->answered.load() && slot.state.load() == seen) SleepOn(slot.state, seen);
  batch_->sleeping_on.store(nullptr);
  slot.waiters.store(0, std::memory_order_relaxed);
}

}  // namespace larder
