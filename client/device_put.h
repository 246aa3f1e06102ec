// The blocks of a put that stand in device memory. Internal to the client library.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/device_calls.h"
#include "client/plane.h"

namespace larder {

// Copies them to the host, into the window as far as it has room, and puts the copies in their place. UNAVAILABLE when the device
// does not bring them by the deadline.
absl::Status BringFromDevice(DeviceCalls& calls, Plane& plane, const Space& space,
                             std::span<PutBlock> blocks, SystemTime deadline);

}  // namespace larder
