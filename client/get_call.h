// One Get call: receives frames, verifies them, writes the raw blocks into the caller's memory.
// Internal to the client library.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/client.h"
#include "client/device_get.h"
#include "client/frame_receiver.h"

namespace larder {

class CallWaiter;

// What every attempt of one call shares.
struct GetWork {
  Space space;
  std::vector<GetBlock> blocks;
  // Of those that go to device memory, and then have no destination here; null: none.
  std::shared_ptr<DeviceGet> device;
  GetOptions options;
  std::vector<GetResult> results;
  // Blocks still to fetch. After a first round it holds those whose bytes did not match their
  // checksums: they are asked for once more, and the server verifies its copy first.
  std::vector<uint32_t> pending;
  bool verify_at_server = false;
  // The synchronous caller's thread; null when nobody waits.
  std::shared_ptr<CallWaiter> waiter;
  // GetPrefix in one round trip: pending is every block.
  bool prefix = false;
  Milliseconds lease_ttl{0};
  std::string lease_id;              // granted
  bool prefix_without_room = false;  // nothing was asked
};

// All of `blocks`, to be fetched.
std::shared_ptr<GetWork> GetWorkOf(const Space& space, std::span<const GetBlock> blocks,
                                   const GetOptions& options);

// Who made progress to tell GetOptions::on_layers about. Confined to the thread that receives.
class LayersTeller {
 public:
  explicit LayersTeller(const GetOptions& options) : options_(options) {}
  void Tell(size_t block, uint32_t layers_ready) {
    if (!options_.on_layers || layers_ready == told_) return;
    told_ = layers_ready;
    options_.on_layers(block, layers_ready);
  }

 private:
  const GetOptions& options_;
  uint32_t told_ = 0;
};

inline bool GoesToDevice(const GetWork& work, uint32_t index) {
  return work.device != nullptr && work.device->Takes(index);
}

// The wire form of what every attempt of a get asks for, for the blocks at `indices`.
v1::GetRequest RequestOf(const GetWork& work, std::span<const uint32_t> indices);
ExpectedFrame ExpectedOf(const GetWork& work, uint32_t index);
// A block whose every byte was right.
void TakeResult(FrameReceiver& receiver, const GetWork& work, GetResult& result);

// Faults that need no server.
absl::Status CheckGet(const Space& space, std::span<const GetBlock> blocks,
                      const DeviceCalls& device);

// Streams the pending blocks once and leaves in `work->pending` those that arrived damaged. Nothing
// is written to any destination after `report` has been called.
void StartGet(const std::shared_ptr<Channel>& channel, std::shared_ptr<GetWork> work,
              SystemTime deadline, Channel::Report report);

}  // namespace larder
