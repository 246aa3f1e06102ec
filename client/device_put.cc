#include "client/device_put.h"

#include <memory>
#include <utility>

#include "client/outgoing_frame.h"
#include "proto/contract/errors.h"

namespace larder {

absl::Status BringFromDevice(DeviceCalls& calls, Plane& plane, const Space& space,
                             std::span<PutBlock> blocks, SystemTime deadline) {
  std::shared_ptr<DeviceWork> work;
  DeviceCalls::Owners owners;
  for (PutBlock& block : blocks) {
    if (!block.rows && !calls.Holds(block.raw.get())) continue;
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
  }
  return work == nullptr ? absl::OkStatus() : calls.Await(work, deadline, std::move(owners));
}

}  // namespace larder
