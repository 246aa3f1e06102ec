// The blocks of a get that end in device memory. The rest of the library sees them as blocks without destination, whose view is
// their payload; as soon as one has come, the device is told to fetch and expand it, while the next arrive. Internal to the client
// library.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "client/client.h"
#include "client/device_calls.h"
#include "client/frame_receiver.h"

namespace larder {

// Thread-safe.
class DeviceGet {
 public:
  // Takes the destinations that are the device's, and rows, out of `blocks`. Null when there are none. `calls` outlives it.
  static std::shared_ptr<DeviceGet> Take(DeviceCalls& calls, std::vector<GetBlock>& blocks);

  bool Takes(uint32_t index) const { return targets_.contains(index); }
  // At the same time on their way to the device: what a driver queues without waiting, and what pinned memory holds.
  static constexpr uint64_t kUnderWayBytesMax = uint64_t{128} << 20;
  static constexpr size_t kUnderWayBlocksMax = 32;

  // Block `index` has come and every byte is right. `window`: what keeps the memory that its view stands in, null when that is
  // the receiver's. Beyond the bounds it is left to who awaits the device.
  void Start(uint32_t index, const FrameReceiver& receiver, CoderPool& coders,
             std::shared_ptr<const void> window);
  // Waits for the device and lets go of the payloads that have come so far. Not on a thread that others need.
  void Await(std::vector<GetResult>& results, SystemTime deadline);
  // The call has ended, well or not: the same, and tells of layers.
  absl::Status End(std::vector<GetResult>& results, const GetOptions& options, SystemTime deadline);

 private:
  struct Target {
    std::byte* raw = nullptr;        // the block's memory, or:
    std::optional<BlockRows> rows;   // where its rows belong
    std::optional<size_t> decoding;  // its number among the device's
    bool started = false;
    bool unfit = false;  // the device could not take it
    uint32_t layers = 0;
  };

  DeviceGet(DeviceCalls& calls, std::map<uint32_t, Target> targets)
      : calls_(calls), targets_(std::move(targets)) {}
  // A block that has come; its payload stays as long as the owner, and the window's range by the result.
  struct Block {
    uint32_t index;
    FrameView frame;
    std::span<const std::byte> payload;
    std::shared_ptr<const void> owner;
  };
  // Whether the device may get more now. Does not wait.
  bool HasRoom();
  void StartLocked(Block block);
  bool Bring(Target& target, const FrameView& frame, std::span<const std::byte> payload);
  bool CopyRaw(const Target& target, const FrameView& frame, std::span<const std::byte> payload);
  bool DecodeHere(const Target& target, const FrameView& frame, std::span<const std::byte> payload);
  void AwaitLocked(std::vector<GetResult>& results, SystemTime deadline);

  DeviceCalls& calls_;
  std::mutex mutex_;
  std::map<uint32_t, Target> targets_;  // by position; no entry comes or goes
  std::shared_ptr<DeviceWork> work_;    // once something was started
  size_t decodings_ = 0;
  CoderPool* coders_ = nullptr;
  uint64_t under_way_bytes_ = 0;
  size_t under_way_blocks_ = 0;
  std::deque<Block> waiting_;   // for room
  DeviceCalls::Owners owners_;  // of windows that the device reads
  bool ended_ = false;          // nothing is started or awaited any more
  absl::Status failed_;
};

}  // namespace larder
