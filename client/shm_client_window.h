// A window of shared memory: a sealed memfd and the connection that keeps it open. Internal to the client
// library.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "client/client_window.h"

namespace larder {

class ShmClientWindow final : public ClientWindow {
 public:
  // Opens a window of `bytes` (whole pages) at the server's local socket. UNAVAILABLE when it can not be
  // reached from here (another host, container or network namespace), FAILED_PRECONDITION when another user
  // serves it, else the server's own refusal. Blocks for at most kConnectTimeoutMs to connect, and as long
  // again for the reply.
  static absl::StatusOr<std::shared_ptr<ShmClientWindow>> Open(std::string_view socket_name,
                                                               std::string_view client_id,
                                                               uint64_t bytes, bool touch);
  static constexpr int kConnectTimeoutMs = 2000;
  ~ShmClientWindow() override;

  PlaneKind plane() const override { return PlaneKind::kShm; }
  std::span<std::byte> memory() const override { return {memory_, bytes_}; }
  std::string_view id() const override { return id_; }
  CallLink& calls() override { return calls_; }
  bool alive() const override { return alive_.load(std::memory_order_relaxed); }
  bool server_tells() const override { return true; }
  CacheChoice* cache_choice() override { return &cache_choice_; }
  uint64_t BeginGet(std::span<const WindowSpan>, std::span<ProgressSlot>, Arrived) override {
    return 0;
  }
  bool sends_from_anywhere() const override { return false; }
  uint64_t BeginPut(std::span<const Payload>) override { return 0; }
  bool AwaitArrival(uint64_t, std::span<const uint64_t>,
                    std::chrono::steady_clock::time_point) override {
    return true;
  }
  bool EndCall(uint64_t, bool answered) override { return answered; }
  void Disconnect() override;

 private:
  ShmClientWindow(int socket, std::byte* memory, uint64_t bytes);
  void Receive();

  const int socket_;
  std::atomic<bool> alive_{true};
  std::byte* const memory_;
  const uint64_t bytes_;
  std::string id_;
  CallLink calls_;
  CacheChoice cache_choice_;
  std::thread receiver_;  // of answers; asleep without
};

}  // namespace larder
