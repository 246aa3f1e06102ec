// What a call says of rows in device memory. Internal to the client library.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/client.h"
#include "client/device_calls.h"

namespace larder {

// Faults that need no server: a space without such rows, steps or addresses that are no multiple of 16 bytes, memory that is not the
// device's. `field` names them.
absl::Status CheckRows(const DeviceCalls& calls, const KvShape& shape, const BlockRows& rows,
                       const std::string& field);

}  // namespace larder
