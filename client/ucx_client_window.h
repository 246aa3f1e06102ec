// A window over UCX: plain memory, and the connection over which the server pushes blocks into it and pulls them
// from it (transport/FORMAT.md). Internal to the client library.
//
// Only ranges of running calls can be reached, under the tags of those calls: 48 random bits and the block's
// position. A range is free again when its call has ended.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "absl/status/statusor.h"
#include "client/client_window.h"
#include "transport/ucx_worker.h"

namespace larder {

class UcxClientWindow final : public ClientWindow {
 public:
  // Opens a window of options.window.bytes at the server, which accepts UCX connections at `ucx_address`.
  // `options.client_id` must be the one that the calls carry. Blocks for at most kConnectTimeout. UNAVAILABLE when
  // no connection comes about, else the server's own refusal.
  static absl::StatusOr<std::shared_ptr<UcxClientWindow>> Open(const ClientOptions& options,
                                                               const std::string& ucx_address);
  static constexpr auto kConnectTimeout = std::chrono::seconds(3);
  // What UCX may touch of a call that has ended is let go of within kUcxGrace (ucx_peer.h), by force if need be;
  // beyond this its thread does not run, and the call's ranges are lost.
  static constexpr auto kEndTimeout = std::chrono::seconds(1);
  ~UcxClientWindow() override;

  PlaneKind plane() const override { return PlaneKind::kUcx; }
  std::span<std::byte> memory() const override { return {memory_, bytes_}; }
  std::string_view id() const override { return id_; }
  CallLink& calls() override { return state_->calls; }
  bool alive() const override { return state_->alive.load(std::memory_order_relaxed); }
  bool server_tells() const override { return false; }
  uint64_t BeginGet(std::span<const WindowSpan> spans, std::span<ProgressSlot> slots,
                    Arrived arrived) override;
  bool sends_from_anywhere() const override { return true; }
  uint64_t BeginPut(std::span<const Payload> payloads) override;
  bool AwaitArrival(uint64_t tag, std::span<const uint64_t> frame_bytes,
                    std::chrono::steady_clock::time_point until) override;
  bool EndCall(uint64_t tag, bool answered) override;
  std::unique_ptr<Turn> TakeTurn() override;
  void Disconnect() override;

 private:
  // Shared with callbacks of UCX, which may outlive the window.
  struct State {
    // Set by Open, constant then.
    std::shared_ptr<transport::UcxPeer> peer;
    CallLink calls{[this](std::string message) {
      peer->Tell(std::move(message));
      return true;
    }};
    std::atomic<bool> alive{true};
    std::mutex mutex;
    std::condition_variable changed;
    struct Block {
      uint64_t arrived = 0;
      bool ended = false;
    };
    struct Call {
      std::vector<Block> blocks;
      bool left = false;  // nobody waits any more
      bool ended() const {
        return std::ranges::all_of(blocks, [](const Block& block) { return block.ended; });
      }
    };
    std::map<uint64_t, Call> transfers;  // of calls, by tag

    void Arrived(uint64_t tag, size_t block, uint64_t bytes);
    void Ended(uint64_t tag, size_t block);

   private:
    template <typename Change>
    void Update(uint64_t tag, size_t block, Change change);
  };

  UcxClientWindow(std::byte* memory, uint64_t bytes) : memory_(memory), bytes_(bytes) {}
  absl::Status Connect(const ClientOptions& options, const std::string& ucx_address);
  uint64_t NewTag(size_t blocks);

  std::byte* const memory_;
  const uint64_t bytes_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::string id_;
  std::random_device random_;
  std::unique_ptr<transport::UcxWorker> worker_;
};

}  // namespace larder
