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

namespace larder {

// What every attempt of one call shares.
struct GetWork {
  Space space;
  std::vector<GetBlock> blocks;
  GetOptions options;
  std::vector<GetResult> results;
  // Blocks still to fetch. After a first round it holds those whose bytes did not match their
  // checksums: they are asked for once more, and the server verifies its copy first.
  std::vector<uint32_t> pending;
  bool verify_at_server = false;
};

// Faults that need no server.
absl::Status CheckGet(const Space& space, std::span<const GetBlock> blocks);

// Streams the pending blocks once and leaves in `work->pending` those that arrived damaged. Nothing
// is written to any destination after `report` has been called.
void StartGet(const std::shared_ptr<Channel>& channel, std::shared_ptr<GetWork> work,
              SystemTime deadline, Channel::Report report);

}  // namespace larder
