// Calls over the connection that keeps a window open, in place of gRPC: one message each way, and no thread between the
// caller and the connection. Numbers the calls and brings each answer to whoever waits for it. Internal to the client
// library.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/channel_time.h"
#include "larder/v1/window.pb.h"

namespace larder {

// Thread-safe.
class CallLink {
 public:
  // Sends one message, without waiting; false when the connection takes none now.
  using Send = std::function<bool(std::string message)>;
  // Called once, with the answer or with UNAVAILABLE when none will come: on the connection's thread, or on the one that
  // ends the link. Quick; must not let go of the window. There is no deadline here: who waits has it.
  using Replied = std::function<void(absl::StatusOr<v1::WindowReply>)>;

  explicit CallLink(Send send) : send_(std::move(send)) {}

  // Sends `call` under a number of its own. nullopt, and `replied` is dropped, when gRPC must carry it: it is too large,
  // too many are not answered yet, or there is no connection.
  std::optional<uint64_t> Start(v1::WindowCall& call, SystemTime deadline, Replied replied);
  // A further message of a call. False when it is not sent: the connection has ended or is full, or it is too large.
  bool Add(uint64_t number, v1::WindowCall& more);

  // The connection's: a message has come; false for one that is no answer of a call.
  bool OnMessage(std::string_view message);
  // The connection has ended.
  void End();

 private:
  const Send send_;
  std::mutex mutex_;
  std::map<uint64_t, Replied> waiting_;  // by number, until they are answered
  uint64_t number_ = 0;
  bool ended_ = false;
};

}  // namespace larder
