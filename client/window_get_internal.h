// One attempt of a get over a window. Internal to window_get*.cc.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "client/arriving_frame.h"
#include "client/plane.h"
#include "client/window_get.h"
#include "larder/v1/window.pb.h"

namespace larder {

// One block of the batch that is under way.
struct Arriving {
  WindowSpan span;
  ArrivingFrame frame;
};

// One attempt. The thread that waits for the call (the waiter) receives the blocks, or sees them received, and goes on
// alone: when every block is whole it does not wait for an answer, which could tell it nothing. Without a waiter the thread
// that brings the answer does it all.
class WindowGet : public std::enable_shared_from_this<WindowGet> {
 public:
  WindowGet(std::shared_ptr<Channel> channel, OpenWindow open, std::shared_ptr<GetWork> work,
            SystemTime deadline, Channel::Report report)
      : channel_(std::move(channel)),
        open_(std::move(open)),
        work_(std::move(work)),
        deadline_(deadline),
        report_(std::move(report)),
        todo_(work_->pending.begin(), work_->pending.end()) {}

  void NextBatch();

 private:
  // What the batch under way shares with the window's thread and with those that bring answers, which must not be the
  // ones that let go of the window, and may come when the attempt is through.
  struct Batch {
    explicit Batch(WindowGet* of) : get(of) {}
    // The first one counts.
    void Answer(absl::Status status);

    v1::GetToWindowRequest request;
    v1::GetToWindowResponse response;
    std::mutex mutex;
    std::condition_variable changed;
    WindowGet* get;  // null when the window's thread must not touch it any more
    size_t whole = 0;
    absl::Status answer;  // once answered; what `response` says holds then, too
    std::atomic<bool> answered{false};
    // Where the waiter sleeps; else null.
    std::atomic<std::atomic<uint32_t>*> sleeping_on{nullptr};
  };
  bool TakeRoom();
  void Send();
  bool SendOverLink();
  void SendOverGrpc();
  ClientWindow::Arrived ToBatch();
  void WaitFor();
  bool SeeReceived();
  void AwaitAnswer();
  void GiveUpWhenLate();
  void ChooseCache();
  void RecordTime();
  bool Receive();
  void ReceiveBlock(size_t position);
  uint64_t BytesBehind(size_t position) const;
  void AwaitMore(size_t position, uint32_t seen, bool begun);
  void Conclude(bool answered);
  absl::Status TakeAnswers();
  void TakeAnswer(Arriving& block, const v1::WindowGetResult& answer);
  void TakeHit(Arriving& block);
  void GiveRoomBack();
  void GoInline();
  ProgressSlot& SlotAt(size_t position) const {
    std::byte* const slots = open_.window->memory().data() + slots_.offset;
    return reinterpret_cast<ProgressSlot*>(slots)[position];
  }

  const std::shared_ptr<Channel> channel_;
  const OpenWindow open_;
  const std::shared_ptr<GetWork> work_;
  const SystemTime deadline_;
  Channel::Report report_;
  std::deque<uint32_t> todo_;
  std::map<uint32_t, uint64_t> needed_;  // range sizes of frames that were too large
  std::vector<uint32_t> damaged_;

  // The batch under way.
  std::deque<Arriving> blocks_;
  WindowSpan slots_;
  uint64_t tag_ = 0;
  std::shared_ptr<Batch> batch_;
  uint64_t room_bytes_ = 0;  // of its blocks
  bool timed_ = false;       // how long it takes tells how the next should be copied
  bool to_caches_ = false;   // how this one is
  std::chrono::steady_clock::time_point sent_at_;
  bool over_link_ = false;   // its deadline is the waiter's affair
  bool on_arrival_ = false;  // the window's thread verifies what it receives
  bool untouched_ = false;   // the call has ended so that nothing touches its spans any more
};

}  // namespace larder
