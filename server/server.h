// The server: builds everything from a Config, listens, and drains. One per process in larderd;
// tests start several.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/memory/device_arena.h"

namespace larder::server {

// Makes the memory of the HBM tier, of so many bytes.
using HbmFactory = std::function<absl::StatusOr<std::unique_ptr<DeviceArena>>(uint64_t bytes)>;
// Of the first CUDA device.
absl::StatusOr<std::unique_ptr<DeviceArena>> CudaHbm(uint64_t bytes);

class Server {
 public:
  // Listening when it returns. INVALID_ARGUMENT when an address can not be bound,
  // RESOURCE_EXHAUSTED when the memory can not be reserved.
  // `hbm` is called when the configuration wants that tier.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config,
                                                       const HbmFactory& hbm = CudaHbm);
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
