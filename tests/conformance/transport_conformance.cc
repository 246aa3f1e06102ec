// What every Window must do, run over every Window: shared memory, UCX over TCP, the same with its shared-memory transports allowed
// (for connections of its listener it takes TCP all the same: transport/FORMAT.md), and a fake with delay, loss and reordering.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "server/transport/shm_window.h"
#include "server/transport/ucx_listener.h"
#include "tests/fakes/lossy_window.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder::server {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kWindowBytes = 24 << 20;

// A window with its client.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Window& window() = 0;
  virtual std::span<std::byte> memory() = 0;
  // The client is ready for a Write (or a Read) of these bytes under this tag.
  virtual void ReadyForWrite(uint64_t /*tag*/, uint64_t /*offset*/, uint64_t /*bytes*/) {}
  virtual void ReadyForRead(uint64_t /*tag*/, uint64_t /*offset*/, uint64_t /*bytes*/) {}
  // Returns when the client has what a Write that has ended with kDone brought.
  virtual void AwaitArrival(uint64_t /*tag*/) {}
  // The client dies.
  virtual void Die() = 0;
  // A transfer may be lost, which ends it at its deadline.
  virtual bool loses() const { return false; }
};

class ShmSubject final : public Subject {
 public:
  Window& window() override { return *window_; }
  std::span<std::byte> memory() override { return {memory_.data(), memory_.bytes()}; }
  void Die() override { window_->Close(); }  // by the listener, which sees the connection end

 private:
  RealClock clock_;
  ShmMemory memory_{kWindowBytes};
  std::unique_ptr<ShmWindow> window_ = ShmWindow::Map(memory_.fd(), kWindowBytes, clock_).value();
};

class LossySubject final : public Subject {
 public:
  Window& window() override { return window_; }
  std::span<std::byte> memory() override { return window_.memory(); }
  void Die() override { window_.Close(); }
  bool loses() const override { return true; }

 private:
  LossyWindow window_{kWindowBytes, {}};
};

class UcxSubject final : public Subject {
 public:
  explicit UcxSubject(const std::string& transports) {
    listener_ =
        UcxListener::Start({.listen = "127.0.0.1:0", .transports = transports}, table_, clock_)
            .value();
    const std::string id = listener_->Open("client", kWindowBytes).value();
    window_ = table_.Find(id, "client").value();
    transport::UcxWorker::Options options;
    options.transports = transports;
    client_ = transport::UcxWorker::Start(options).value();
    transport::UcxHello hello;
    std::copy(id.begin(), id.end(), hello.window_id.begin());
    std::promise<std::shared_ptr<transport::UcxPeer>> connected;
    client_->Connect(listener_->address(), hello, clock_.Now() + 10s, nullptr,
                     [&](auto peer) { connected.set_value(peer.value()); });
    peer_ = connected.get_future().get();
  }
  ~UcxSubject() override {
    peer_.reset();
    client_.reset();
    window_.reset();
    listener_.reset();
  }
  Window& window() override { return *window_; }
  std::span<std::byte> memory() override { return memory_; }
  void ReadyForWrite(uint64_t tag, uint64_t offset, uint64_t bytes) override {
    auto arrived = std::make_shared<std::promise<void>>();
    {
      std::lock_guard lock(mutex_);
      arrivals_[tag] = arrived->get_future();
    }
    peer_->Expect(tag, bytes, transport::ArriveIn(std::span(memory_).subspan(offset, bytes)),
                  [arrived](transport::UcxEnd) { arrived->set_value(); });
  }
  void ReadyForRead(uint64_t tag, uint64_t offset, uint64_t bytes) override {
    peer_->Offer(tag, offset, {std::span(memory_).subspan(offset, bytes)},
                 [](transport::UcxEnd) {});
  }
  void AwaitArrival(uint64_t tag) override {
    std::unique_lock lock(mutex_);
    auto arrival = std::move(arrivals_[tag]);
    lock.unlock();
    ASSERT_EQ(arrival.wait_for(20s), std::future_status::ready);
  }
  void Die() override { client_.reset(); }

 private:
  RealClock clock_;
  WindowTable table_{{16, 16, kWindowBytes, kWindowBytes}};
  std::vector<std::byte> memory_ = std::vector<std::byte>(kWindowBytes);
  std::unique_ptr<UcxListener> listener_;
  std::shared_ptr<Window> window_;
  std::unique_ptr<transport::UcxWorker> client_;
  std::shared_ptr<transport::UcxPeer> peer_;
  std::mutex mutex_;
  std::map<uint64_t, std::future<void>> arrivals_;
};

struct Case {
  std::string name;
  std::function<std::unique_ptr<Subject>()> make;
};

class TransportConformance : public testing::TestWithParam<Case> {
 protected:
  // Counts its ends, and keeps the last one.
  struct Ended {
    std::atomic<int> ends{0};
    std::atomic<TransferEnd> end{TransferEnd::kFailed};
    TransferDone Done() {
      return [this](TransferEnd e) {
        end = e;
        ++ends;
      };
    }
    // By the deadline of the transfer plus what a busy machine takes.
    void Wait() {
      const auto give_up = std::chrono::steady_clock::now() + 20s;
      while (ends == 0 && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(1ms);
      }
      ASSERT_EQ(ends, 1);
    }
  };
  static std::vector<std::byte> Random(size_t bytes, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> values(bytes);
    for (std::byte& value : values) value = static_cast<std::byte>(random());
    return values;
  }
  static ByteSpans Split(std::vector<std::byte>& bytes, size_t piece) {
    ByteSpans spans;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      spans.push_back(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
    return spans;
  }
  static Transfer At(uint64_t offset, uint64_t tag, std::chrono::milliseconds time) {
    return {.offset = offset, .tag = tag, .deadline = std::chrono::steady_clock::now() + time};
  }
  // A deadline that only matters where bytes get lost.
  std::chrono::milliseconds Long() const { return subject_->loses() ? 300ms : 20s; }

  std::unique_ptr<Subject> subject_ = GetParam().make();
};

INSTANTIATE_TEST_SUITE_P(
    Planes, TransportConformance,
    testing::Values(Case{"Shm", [] { return std::make_unique<ShmSubject>(); }},
                    Case{"UcxTcp", [] { return std::make_unique<UcxSubject>("tcp"); }},
                    Case{"UcxMoreAllowed",
                         [] { return std::make_unique<UcxSubject>("posix,sysv,cma,tcp"); }},
                    Case{"Lossy", [] { return std::make_unique<LossySubject>(); }}),
    [](const auto& test) { return test.param.name; });

TEST_P(TransportConformance, WritesExactlyItsRange) {
  uint64_t tag = 100;
  for (const size_t bytes : {64ul, 4096ul, 33'280ul, 1ul << 20, (4ul << 20) + 512}) {
    for (const size_t piece : {bytes, 512ul, 100'000ul}) {
      for (const bool to_caches : {false, true}) {
        auto source = Random(bytes, bytes);
        std::fill(subject_->memory().begin(), subject_->memory().end(), std::byte{9});
        subject_->ReadyForWrite(++tag, 64, bytes);
        Ended ended;
        Transfer transfer = At(64, tag, Long());
        transfer.to_caches = to_caches;
        subject_->window().Write(transfer, Split(source, piece), ended.Done());
        ended.Wait();
        if (subject_->loses() && ended.end == TransferEnd::kOverDeadline) continue;
        ASSERT_EQ(ended.end, TransferEnd::kDone);
        subject_->AwaitArrival(tag);
        const auto memory = subject_->memory();
        ASSERT_EQ(std::memcmp(memory.data() + 64, source.data(), bytes), 0);
        ASSERT_EQ(memory[63], std::byte{9});
        ASSERT_EQ(memory[64 + bytes], std::byte{9});
      }
    }
  }
}

TEST_P(TransportConformance, ReadsExactlyItsRange) {
  uint64_t tag = 100;
  for (const size_t bytes : {64ul, 4096ul, 33'280ul, 1ul << 20, (4ul << 20) + 512}) {
    for (const size_t piece : {bytes, 512ul, 100'000ul}) {
      const auto source = Random(bytes, bytes);
      std::copy(source.begin(), source.end(), subject_->memory().begin() + 4096);
      std::vector<std::byte> target(bytes);
      subject_->ReadyForRead(++tag, 4096, bytes);
      Ended ended;
      subject_->window().Read(At(4096, tag, Long()), Split(target, piece), ended.Done());
      ended.Wait();
      if (subject_->loses() && ended.end == TransferEnd::kOverDeadline) continue;
      ASSERT_EQ(ended.end, TransferEnd::kDone);
      ASSERT_TRUE(source == target);
    }
  }
}

// A part of what the client offers, as ingest reads a payload step by step.
TEST_P(TransportConformance, ReadsParts) {
  constexpr size_t kBytes = 1 << 20;
  const auto source = Random(kBytes, 5);
  std::copy(source.begin(), source.end(), subject_->memory().begin() + 8192);
  subject_->ReadyForRead(7, 8192, kBytes);
  for (const size_t at : {0ul, 1000ul, kBytes / 2, kBytes - 3000}) {
    std::vector<std::byte> target(3000);
    Ended ended;
    subject_->window().Read(At(8192 + at, 7, Long()), Split(target, 3000), ended.Done());
    ended.Wait();
    if (subject_->loses() && ended.end == TransferEnd::kOverDeadline) continue;
    ASSERT_EQ(ended.end, TransferEnd::kDone);
    ASSERT_EQ(std::memcmp(target.data(), source.data() + at, target.size()), 0);
  }
}

TEST_P(TransportConformance, ManyTransfersEndOnceAndDoNotMix) {
  constexpr int kTransfers = 60;
  constexpr size_t kBytes = 150'000;
  std::vector<std::vector<std::byte>> server(2 * kTransfers);
  std::vector<Ended> ended(2 * kTransfers);
  for (int i = 0; i < 2 * kTransfers; ++i) {
    const uint64_t offset = i * kBytes;
    if (i % 2 == 0) {
      server[i] = Random(kBytes, i);
      subject_->ReadyForWrite(1000 + i, offset, kBytes);
    } else {
      server[i].resize(kBytes);
      const auto bytes = Random(kBytes, i);
      std::copy(bytes.begin(), bytes.end(), subject_->memory().begin() + offset);
      subject_->ReadyForRead(1000 + i, offset, kBytes);
    }
  }
  for (int i = 0; i < 2 * kTransfers; ++i) {
    const Transfer transfer = At(i * kBytes, 1000 + i, Long());
    if (i % 2 == 0) {
      subject_->window().Write(transfer, Split(server[i], 70'000), ended[i].Done());
    } else {
      subject_->window().Read(transfer, Split(server[i], 70'000), ended[i].Done());
    }
  }
  int done = 0;
  for (int i = 0; i < 2 * kTransfers; ++i) {
    ended[i].Wait();
    if (subject_->loses() && ended[i].end == TransferEnd::kOverDeadline) continue;
    ASSERT_EQ(ended[i].end, TransferEnd::kDone) << i;
    if (i % 2 == 0) subject_->AwaitArrival(1000 + i);
    ++done;
    ASSERT_EQ(std::memcmp(server[i].data(), subject_->memory().data() + i * kBytes, kBytes), 0)
        << i;
  }
  EXPECT_GT(done, kTransfers);
  for (Ended& each : ended) EXPECT_EQ(each.ends, 1);
}

TEST_P(TransportConformance, APassedDeadlineEndsTheTransfer) {
  auto bytes = Random(8 << 20, 1);
  subject_->ReadyForWrite(1, 0, bytes.size());
  Ended ended;
  subject_->window().Write(At(0, 1, -1ms), Split(bytes, bytes.size()), ended.Done());
  ended.Wait();
  EXPECT_TRUE(ended.end == TransferEnd::kOverDeadline || ended.end == TransferEnd::kDone);
}

TEST_P(TransportConformance, CloseEndsAllAndAdmitsNoMore) {
  constexpr int kTransfers = 16;
  auto bytes = Random(1 << 20, 1);
  std::vector<Ended> ended(kTransfers);
  for (int i = 0; i < kTransfers; ++i) {
    subject_->ReadyForWrite(i, uint64_t{1} << 20, bytes.size());
    subject_->window().Write(At(uint64_t{1} << 20, i, 20s), Split(bytes, bytes.size()),
                             ended[i].Done());
  }
  subject_->window().Close();
  for (Ended& each : ended) {
    each.Wait();
    EXPECT_TRUE(each.end == TransferEnd::kPeerGone || each.end == TransferEnd::kDone);
  }
  Ended after;
  subject_->window().Write(At(0, 99, 20s), Split(bytes, bytes.size()), after.Done());
  after.Wait();
  EXPECT_EQ(after.end, TransferEnd::kPeerGone);
  for (Ended& each : ended) EXPECT_EQ(each.ends, 1);
}

TEST_P(TransportConformance, ADeadClientEndsItsTransfers) {
  constexpr int kTransfers = 16;
  auto bytes = Random(1 << 20, 1);
  std::vector<Ended> ended(kTransfers);
  for (int i = 0; i < kTransfers; ++i) {
    subject_->ReadyForWrite(i, uint64_t{1} << 20, bytes.size());
    subject_->window().Write(At(uint64_t{1} << 20, i, 5s), Split(bytes, bytes.size()),
                             ended[i].Done());
  }
  subject_->Die();
  for (Ended& each : ended) {
    each.Wait();
    EXPECT_TRUE(each.end != TransferEnd::kFailed);
    EXPECT_EQ(each.ends, 1);
  }
}

}  // namespace
}  // namespace larder::server
