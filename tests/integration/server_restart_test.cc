// The server is killed, restarted, drained and stopped under clients that keep calling: every call
// ends by its deadline with a hit of the right bytes, a miss, or a code that says "later"; and the
// same Client goes on as soon as the server is back.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/server_process.h"

namespace larder::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr milliseconds kTimeout{1'000};
// Far above what a call may need beyond its deadline, far below "hangs": the machine may be busy.
constexpr milliseconds kOverrunMax{2'000};
constexpr seconds kBackAgain{5};
constexpr uint32_t kChains = 16;
constexpr uint32_t kChainBlocks = 8;
constexpr int kRestarts = 6;
constexpr uint64_t kHitsBetweenKills = 1'000;
constexpr uint64_t kSeed = 20'260'103;

// What an engine does, over and over, on two threads with one Client: look up a chain, get what is
// there, put what is missing.
class EngineLoop {
 public:
  explicit EngineLoop(const std::string& address)
      : client_(Client::Connect({.address = address}).value()),
        space_(client_->Register(KnownManifest("restart", 4, 1024), "default").value()[0]) {
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      blocks_.push_back(KnownChain(space_, chain, kChainBlocks));
    }
    for (uint64_t i = 0; i < 2; ++i) threads_.emplace_back([this, i] { Run(kSeed + i); });
  }
  ~EngineLoop() { Stop(); }

  void Stop() {
    stop_.store(true);
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  uint64_t hits() const { return hits_.load(); }
  uint64_t stored() const { return stored_.load(); }
  uint64_t refusals() const { return refusals_.load(); }
  // Calls that failed, were answered after their deadline by more than the bound, or brought wrong
  // bytes; with what happened.
  std::vector<std::string> faults() {
    std::lock_guard lock(mutex_);
    return faults_;
  }
  milliseconds overrun_max() {
    std::lock_guard lock(mutex_);
    return overrun_max_;
  }

 private:
  template <typename Call>
  auto Timed(const char* verb, Call&& call) {
    const SteadyTime start = std::chrono::steady_clock::now();
    auto result = call();
    const auto overrun = std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() -
                                                                  start - kTimeout);
    {
      std::lock_guard lock(mutex_);
      overrun_max_ = std::max(overrun_max_, overrun);
    }
    if (overrun > kOverrunMax) Fault(std::string(verb) + " ended too late");
    if (!result.ok()) Judge(verb, result.status());
    return result;
  }

  void Run(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> memory(kChainBlocks * RawBytesOf(space_));
    while (!stop_.load()) Serve(static_cast<uint32_t>(random() % kChains), memory);
  }

  void Serve(uint32_t chain, std::vector<std::byte>& memory) {
    std::vector<PrefixHash> hashes;
    for (const PutBlock& block : blocks_[chain]) hashes.push_back(block.hash);
    const auto found = Timed("lookup", [&] {
      LookupOptions options;
      options.timeout = kTimeout;
      options.lease_ttl = seconds(2);
      return client_->Lookup(space_, hashes, options);
    });
    if (!found.ok()) return;
    const size_t resident = found->blocks.size();
    if (resident > 0) Get(chain, resident, memory);
    if (resident < kChainBlocks) Put(chain, resident);
    if (!found->lease_id.empty()) {
      static_cast<void>(
          Timed("release", [&] { return client_->Release(found->lease_id, {kTimeout}); }));
    }
  }

  void Get(uint32_t chain, size_t count, std::vector<std::byte>& memory) {
    std::vector<GetBlock> wanted;
    const uint64_t raw_bytes = RawBytesOf(space_);
    for (size_t i = 0; i < count; ++i) {
      wanted.push_back(
          {blocks_[chain][i].hash, std::span(memory).subspan(i * raw_bytes, raw_bytes)});
    }
    const auto results = Timed("get", [&] {
      GetOptions options;
      options.timeout = kTimeout;
      return client_->Get(space_, wanted, options);
    });
    if (!results.ok()) return;
    for (size_t i = 0; i < count; ++i) {
      if (!(*results)[i].hit) continue;
      ++hits_;
      const auto* right = blocks_[chain][i].raw.get();
      if (!std::equal(wanted[i].destination.begin(), wanted[i].destination.end(), right)) {
        Fault("get brought wrong bytes");
      }
    }
  }

  void Put(uint32_t chain, size_t first) {
    const auto results = Timed("put", [&] {
      return client_->Put(space_, std::span(blocks_[chain]).subspan(first), {{kTimeout}, ""});
    });
    if (!results.ok()) return;
    for (const PutResult& result : *results) {
      stored_ += result.outcome == PutOutcome::kStored;
      // The other thread may put the same chain, and a restart in between takes the parent away.
      if (result.outcome == PutOutcome::kConflict || result.outcome == PutOutcome::kInvalid ||
          result.outcome == PutOutcome::kCorrupt) {
        Fault("put: " + std::string(PutOutcomeName(result.outcome)) + " " + result.message);
      }
    }
  }

  void Judge(const char* verb, const absl::Status& status) {
    ++refusals_;
    // A lease dies with its server; the engine's answer is a new lookup.
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
        absl::IsResourceExhausted(status))
      return;
    Fault(std::string(verb) + ": " + status.ToString());
  }

  void Fault(std::string what) {
    std::lock_guard lock(mutex_);
    if (faults_.size() < 10) faults_.push_back(std::move(what));
  }

  const std::unique_ptr<Client> client_;
  const Space space_;
  std::vector<std::vector<PutBlock>> blocks_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> hits_{0};
  std::atomic<uint64_t> stored_{0};
  std::atomic<uint64_t> refusals_{0};
  std::mutex mutex_;
  milliseconds overrun_max_{-kTimeout};
  std::vector<std::string> faults_;
  std::vector<std::thread> threads_;
};

// Seconds until `reached` holds; nullopt when it does not within `limit`.
std::optional<double> SecondsUntil(milliseconds limit, const std::function<bool()>& reached) {
  const SteadyTime start = std::chrono::steady_clock::now();
  while (!reached()) {
    if (std::chrono::steady_clock::now() - start > limit) return {};
    std::this_thread::sleep_for(milliseconds(2));
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class ServerRestartTest : public ::testing::Test {
 protected:
  ServerRestartTest() { server_.emplace(std::vector<std::string>{"--dram-bytes", "64MiB"}); }

  void Restart() {
    const std::string address = server_->address();
    server_.emplace(std::vector<std::string>{"--dram-bytes", "64MiB", "--listen", address});
  }

  // New hits, and new puts where the server has lost everything.
  static std::optional<double> SecondsUntilServed(const EngineLoop& loop, bool stored_too) {
    const uint64_t hits = loop.hits();
    const uint64_t stored = loop.stored();
    return SecondsUntil(
        kBackAgain, [&] { return loop.hits() > hits && (!stored_too || loop.stored() > stored); });
  }

  static void ExpectNoFault(EngineLoop& loop) {
    loop.Stop();
    for (const std::string& fault : loop.faults()) ADD_FAILURE() << fault;
    std::printf(
        "seed %llu: %llu hits, %llu blocks stored, %llu calls refused; latest end of a call %+lld "
        "ms from its "
        "deadline\n",
        static_cast<unsigned long long>(kSeed), static_cast<unsigned long long>(loop.hits()),
        static_cast<unsigned long long>(loop.stored()),
        static_cast<unsigned long long>(loop.refusals()),
        static_cast<long long>(loop.overrun_max().count()));
  }

  std::optional<ServerProcess> server_;
};

TEST_F(ServerRestartTest, ClientGoesOnAfterEveryKill) {
  std::mt19937_64 random(kSeed);
  EngineLoop loop(server_->address());
  ASSERT_TRUE(SecondsUntilServed(loop, /*stored_too=*/true));
  double slowest = 0;
  for (int i = 0; i < kRestarts; ++i) {
    server_->Kill();
    // Sometimes back at once, sometimes after calls have spent their deadline.
    std::this_thread::sleep_for(
        milliseconds(random() % 2 ? random() % 50 : 1'500 + random() % 500));
    Restart();
    const auto served = SecondsUntilServed(loop, /*stored_too=*/true);
    ASSERT_TRUE(served) << "no put or no hit after restart " << i;
    slowest = std::max(slowest, *served);
    const uint64_t hits = loop.hits();
    ASSERT_TRUE(SecondsUntil(kBackAgain, [&] { return loop.hits() >= hits + kHitsBetweenKills; }));
  }
  ExpectNoFault(loop);
  EXPECT_GT(loop.refusals(), 0u);
  std::printf("%d restarts; served again after %.2f s at most\n", kRestarts, slowest);
}

TEST_F(ServerRestartTest, DrainEndsTheServerAndTheClientGoesOnWithTheNext) {
  EngineLoop loop(server_->address());
  ASSERT_TRUE(SecondsUntilServed(loop, /*stored_too=*/true));
  server_->Terminate();
  const auto status = server_->WaitExit(seconds(15));  // drain_timeout is 10 s
  ASSERT_TRUE(status.has_value()) << "the server did not end";
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << *status;
  ASSERT_TRUE(SecondsUntil(kBackAgain, [&] { return loop.refusals() > 0; }));
  Restart();
  EXPECT_TRUE(SecondsUntilServed(loop, /*stored_too=*/true));
  ExpectNoFault(loop);
}

TEST_F(ServerRestartTest, CallsEndByTheirDeadlineWhileTheServerIsStopped) {
  EngineLoop loop(server_->address());
  ASSERT_TRUE(SecondsUntilServed(loop, /*stored_too=*/true));
  server_->Signal(SIGSTOP);
  const uint64_t refusals = loop.refusals();
  EXPECT_TRUE(SecondsUntil(kBackAgain, [&] { return loop.refusals() >= refusals + 4; }));
  server_->Signal(SIGCONT);
  EXPECT_TRUE(SecondsUntilServed(loop, /*stored_too=*/false));
  ExpectNoFault(loop);
}

}  // namespace
}  // namespace larder::testing
