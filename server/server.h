// The server: builds everything from a Config, listens, and drains. One per process in larderd;
// tests start several.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace larder::server {

class Server {
 public:
  // Listening when it returns. INVALID_ARGUMENT when an address can not be bound,
  // RESOURCE_EXHAUSTED when the memory can not be reserved.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config);
  ~Server();  // Drain(), then frees everything

  // Addresses with their real ports.
  const std::string& listen() const;
  const std::string& metrics_listen() const;

  // Stops admission, lets calls in flight end within drain_timeout, cancels the rest. Idempotent.
  // Thread-safe.
  void Drain();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace larder::server
