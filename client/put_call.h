// One Put call: builds frames over the caller's memory, streams them, reads the outcomes. Internal
// to the client library.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/client.h"

namespace larder {

using PutDone = std::function<void(absl::StatusOr<std::vector<PutResult>>)>;

// What every attempt of one call shares.
struct PutWork {
  Space space;
  std::vector<PutBlock> blocks;
  std::string codec;
  Durability durability = Durability::kMemory;
  std::vector<PutResult> results;
};

// What both planes say and are told.
v1::PutOpen OpenOf(const PutWork& work, size_t blocks);
PutResult ResultOf(const v1::PutResult& wire);

// Faults that need no server: sizes that do not fit the space's shape, empty hashes, too many
// blocks.
absl::Status CheckPut(const Space& space, std::span<const PutBlock> blocks);

// Streams the batch once; `work->results` is filled when report gets Ok.
void StartPut(const std::shared_ptr<Channel>& channel, std::shared_ptr<PutWork> work,
              SystemTime deadline, Channel::Report report);

}  // namespace larder
