// absl::Status <-> grpc::Status: same codes, same text.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace larder {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace larder
