// Two UCX workers of one process, connected: what tests of the plane "ucx" stand on.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "transport/ucx_worker.h"

namespace larder::transport {

using namespace std::chrono_literals;

inline UcxTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// How a transfer ended, to be waited for. Copies share it.
class EndedTransfer {
 public:
  UcxPeer::Done Done() {
    return [promise = promise_](UcxEnd end) { promise->set_value(end); };  // throws on a second end
  }
  UcxEnd Wait() {
    if (future_.wait_for(20s) != std::future_status::ready) {
      ADD_FAILURE() << "a transfer did not end";
      return UcxEnd::kFailed;
    }
    return future_.get();
  }
  bool ready() const { return future_.wait_for(0s) == std::future_status::ready; }

 private:
  std::shared_ptr<std::promise<UcxEnd>> promise_ = std::make_shared<std::promise<UcxEnd>>();
  std::shared_future<UcxEnd> future_ = promise_->get_future();
};

class UcxPair {
 public:
  explicit UcxPair(const std::string& transports = "tcp", const UcxPeer::Limits& limits = {}) {
    UcxWorker::Options options;
    options.transports = transports;
    options.peer = limits;
    options.listen = "127.0.0.1:0";
    options.accept = [this](const std::shared_ptr<UcxPeer>& peer, const UcxHello& hello) {
      if (hello.window_id[0] != 'w') return UcxWorker::Verdict{absl::NotFoundError("window")};
      accepted_.set_value(peer);
      return UcxWorker::Verdict{absl::OkStatus(), [this] { server_gone.set_value(); }, hear};
    };
    server_worker = UcxWorker::Start(options).value();
    UcxWorker::Options client_options;
    client_options.transports = transports;
    client_worker = UcxWorker::Start(client_options).value();
  }
  ~UcxPair() {
    client.reset();
    server.reset();
    client_worker.reset();
    server_worker.reset();
  }

  absl::Status Connect(char window = 'w') {
    UcxHello hello;
    hello.window_id[0] = window;
    std::promise<absl::StatusOr<std::shared_ptr<UcxPeer>>> connected;
    client_worker->Connect(
        server_worker->address(), hello, In(5s), [this] { client_gone.set_value(); },
        [&](absl::StatusOr<std::shared_ptr<UcxPeer>> peer) { connected.set_value(peer); },
        client_hear);
    auto peer = connected.get_future().get();
    if (!peer.ok()) return peer.status();
    client = *peer;
    server = accepted_.get_future().get();
    return absl::OkStatus();
  }

  // Of texts of the other side, client and server; set before Connect.
  UcxWorker::Hear hear, client_hear;
  std::promise<void> server_gone, client_gone;
  std::unique_ptr<UcxWorker> server_worker, client_worker;
  std::shared_ptr<UcxPeer> server, client;

 private:
  std::promise<std::shared_ptr<UcxPeer>> accepted_;
};

// Bytes that depend on their position and the seed.
inline std::vector<std::byte> PatternBytes(size_t size, uint32_t seed) {
  std::vector<std::byte> bytes(size);
  uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

// The whole as spans of at most `piece` bytes.
inline UcxSpans SpansOf(std::vector<std::byte>& bytes, size_t piece) {
  UcxSpans spans;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    spans.push_back(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
  }
  return spans;
}

}  // namespace larder::transport
