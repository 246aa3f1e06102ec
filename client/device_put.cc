#include "client/device_put.h"

#include <memory>
#include <utility>

#include "client/outgoing_frame.h"
#include "proto/contract/errors.h"

namespace larder {
namespace {

// What does not fit the window passes through pinned memory of the call, which is taken anew after so much.
constexpr uint64_t kUnderWayBytesMax = uint64_t{64} << 20;

}  // namespace

absl::Status BringFromDevice(DeviceCalls& calls, Plane& plane, const Space& space,
                             std::span<PutBlock> blocks, SystemTime deadline) {
  std::shared_ptr<DeviceWork> work;
  DeviceCalls::Owners owners;
  uint64_t under_way = 0;
  for (PutBlock& block : blocks) {
    if (!block.rows && calls.PlaceOf(block.raw.get()) == MemoryPlace::kHost) continue;
    if (work == nullptr) {
      auto begun = calls.Begin();
      if (!begun.ok()) return begun.status();
      work = *std::move(begun);
    }
    if (block.rows) block.raw_bytes = RawBytes(ShapeOf(space, block)).value();
    const std::shared_ptr<std::byte> host = plane.Allocate(block.raw_bytes);
    owners.push_back(host);
    owners.push_back(block.raw);
    const std::span<std::byte> to(host.get(), block.raw_bytes);
    const bool queued = block.rows ? work->GatherOut(to, *block.rows, ShapeOf(space, block))
                                   : work->CopyOut(to, block.raw.get());
    if (!queued) {
      const absl::Status status = calls.Await(work, deadline, std::move(owners));
      return status.ok() ? DeviceFailed("of the client", "has no room to gather a block") : status;
    }
    block.raw = host;
    block.rows.reset();
    under_way += block.raw_bytes;
    if (under_way < kUnderWayBytesMax) continue;
    if (absl::Status status = calls.Await(work, deadline, std::exchange(owners, {}));
        !status.ok()) {
      return status;
    }
    under_way = 0;
  }
  return work == nullptr ? absl::OkStatus() : calls.Await(work, deadline, std::move(owners));
}

}  // namespace larder
