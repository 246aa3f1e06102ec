// What opens a put, whatever plane its payload takes.
#pragma once

#include "absl/status/statusor.h"
#include "larder/v1/cache.pb.h"
#include "server/rpc/backend.h"

namespace larder::server {

// The session that PutOpen asks for. Errors as Put's.
absl::StatusOr<IngestSession> OpenPut(Backend& backend, const v1::PutOpen& open);
void FillResult(const IngestResult& result, v1::PutResult* wire);

}  // namespace larder::server
