// A window over plain memory for tests of what stands above windows: transfers end when the test says so, in
// the order it says, with the end it says, or at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/transport/window.h"

namespace larder::server {

// Thread-safe.
class FakeWindow final : public Window {
 public:
  struct Options {
    bool hold = false;  // keep transfers until End
    int transfers_max = 1;
    uint64_t step_bytes = 1000;
  };
  FakeWindow(uint64_t bytes, const Options& options) : options_(options), memory_(bytes) {}
  explicit FakeWindow(uint64_t bytes) : FakeWindow(bytes, Options{}) {}
  ~FakeWindow() override { LARDER_CHECK(waiting_.empty()); }

  PlaneKind plane() const override { return PlaneKind::kShm; }
  uint64_t bytes() const override { return memory_.size(); }
  int transfers_max() const override { return options_.transfers_max; }
  uint64_t step_bytes() const override { return options_.step_bytes; }

  void Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) override {
    if (transfer.to_caches) to_caches_.fetch_add(1);
    Begin(transfer.offset, source, std::move(done),
          [](std::byte* window, std::span<std::byte> span) {
            std::memcpy(window, span.data(), span.size());
          });
  }
  void Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) override {
    Begin(transfer.offset, target, std::move(done),
          [landed = transfer.landed](std::byte* window, std::span<std::byte> span) {
            std::memcpy(span.data(), window, span.size());
            if (landed) landed(span);
          });
  }
  void Skip(const Transfer&) override {}
  void Close() override {
    std::vector<Waiting> waiting;
    {
      MutexLock lock(mutex_);
      closed_ = true;
      waiting.swap(waiting_);
    }
    for (Waiting& transfer : waiting) transfer.done(TransferEnd::kPeerGone);
  }

  std::vector<std::byte>& memory() { return memory_; }
  // Writes that were to stay in the caches.
  int to_caches() const { return to_caches_.load(); }
  size_t waiting() const {
    MutexLock lock(mutex_);
    return waiting_.size();
  }
  // Ends the transfer at `position` of those that wait, on this thread.
  void End(size_t position, TransferEnd end) {
    Waiting transfer;
    {
      MutexLock lock(mutex_);
      LARDER_CHECK(position < waiting_.size());
      transfer = std::move(waiting_[position]);
      waiting_.erase(waiting_.begin() + position);
    }
    if (end == TransferEnd::kDone) transfer.move();
    transfer.done(end);
  }

 private:
  struct Waiting {
    std::function<void()> move;
    TransferDone done;
  };
  template <typename Copy>
  void Begin(uint64_t offset, const ByteSpans& spans, TransferDone done, Copy copy) {
    uint64_t bytes = 0;
    for (const auto span : spans) bytes += span.size();
    LARDER_CHECK(InWindow(offset, bytes, memory_.size()));
    const auto move = [this, offset, spans, copy] {
      uint64_t at = offset;
      for (const auto span : spans) {
        copy(memory_.data() + at, span);
        at += span.size();
      }
    };
    bool closed;
    {
      MutexLock lock(mutex_);
      closed = closed_;
      if (!closed && options_.hold) {
        waiting_.push_back({move, std::move(done)});
        return;
      }
    }
    if (!closed) move();
    done(closed ? TransferEnd::kPeerGone : TransferEnd::kDone);
  }

  const Options options_;
  std::vector<std::byte> memory_;
  std::atomic<int> to_caches_ = 0;
  mutable Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
