// A window over plain memory behind a bad link: transfers take a random time, overtake each other, and some
// never arrive, which their deadline tells. Reproducible from its seed.
#pragma once

#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/check.h"
#include "server/transport/window.h"

namespace larder::server {

// Thread-safe. `done` runs on the link's thread.
class LossyWindow final : public Window {
 public:
  struct Options {
    std::chrono::milliseconds delay_max{20};
    double loss = 0.2;
    uint64_t seed = 1;
  };
  LossyWindow(uint64_t bytes, const Options& options)
      : options_(options), memory_(bytes), random_(options.seed), thread_([this] { Run(); }) {}
  ~LossyWindow() override {
    Close();
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  PlaneKind plane() const override { return PlaneKind::kUcx; }
  uint64_t bytes() const override { return memory_.size(); }
  int transfers_max() const override { return 8; }
  uint64_t step_bytes() const override { return UINT64_MAX; }

  void Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) override {
    Begin(transfer, source, std::move(done), [](std::byte* window, std::span<std::byte> span) {
      std::memcpy(window, span.data(), span.size());
    });
  }
  void Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) override {
    Begin(transfer, target, std::move(done),
          [landed = transfer.landed](std::byte* window, std::span<std::byte> span) {
            std::memcpy(span.data(), window, span.size());
            if (landed) landed(span);
          });
  }
  void Skip(const Transfer&) override {}
  void Close() override {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_one();
  }

  std::vector<std::byte>& memory() { return memory_; }

 private:
  struct Crossing {
    std::function<void()> move;  // empty: lost
    TransferDone done;
  };

  template <typename Copy>
  void Begin(const Transfer& transfer, const ByteSpans& spans, TransferDone done, Copy copy) {
    auto move = [this, at = transfer.offset, spans, copy]() mutable {
      for (const auto span : spans) {
        LARDER_CHECK(InWindow(at, span.size(), memory_.size()));
        copy(memory_.data() + at, span);
        at += span.size();
      }
    };
    {
      std::unique_lock lock(mutex_);
      if (closed_) {
        lock.unlock();
        return done(TransferEnd::kPeerGone);
      }
      const bool lost = std::bernoulli_distribution(options_.loss)(random_);
      const auto delay = std::chrono::microseconds(std::uniform_int_distribution<int64_t>(
          0, options_.delay_max / std::chrono::microseconds(1))(random_));
      const TimePoint arrival = std::chrono::steady_clock::now() + delay;
      if (lost || arrival > transfer.deadline) {
        crossings_.emplace(transfer.deadline, Crossing{{}, std::move(done)});
      } else {
        crossings_.emplace(arrival, Crossing{std::move(move), std::move(done)});
      }
    }
    wake_.notify_one();
  }

  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (crossings_.empty()) {
        if (stop_) return;
        wake_.wait(lock);
        continue;
      }
      const TimePoint next = crossings_.begin()->first;
      if (!closed_ && next > std::chrono::steady_clock::now()) {
        wake_.wait_until(lock, next);
        continue;
      }
      const bool gone = closed_;
      const Crossing crossing = std::move(crossings_.extract(crossings_.begin()).mapped());
      lock.unlock();
      if (!gone && crossing.move) crossing.move();
      crossing.done(gone            ? TransferEnd::kPeerGone
                    : crossing.move ? TransferEnd::kDone
                                    : TransferEnd::kOverDeadline);
      lock.lock();
    }
  }

  const Options options_;
  std::vector<std::byte> memory_;
  std::mutex mutex_;  // plain: the condition variable needs it
  std::condition_variable wake_;
  std::mt19937_64 random_;
  std::multimap<TimePoint, Crossing> crossings_;
  bool closed_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace larder::server
