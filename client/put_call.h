// One Put call: builds frames over the caller's memory, streams them, reads the outcomes. Internal
// to the client library.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "client/client.h"
#include "client/outgoing_frame.h"
#include "kernels/codec/block_coder.h"

namespace larder {

class CallWaiter;

using PutDone = std::function<void(absl::StatusOr<std::vector<PutResult>>)>;

// What every attempt of one call shares.
struct PutWork {
  Space space;
  std::vector<PutBlock> blocks;
  std::string codec;
  Durability durability = Durability::kMemory;
  std::optional<BlockRecipe> recipe;  // set: blocks are encoded here
  std::vector<PutResult> results;
  // The synchronous caller's thread; null when nobody waits.
  std::shared_ptr<CallWaiter> waiter;
};

// The options have passed CheckPut.
std::shared_ptr<PutWork> PutWorkOf(const Space& space, std::span<const PutBlock> blocks,
                                   const PutOptions& options);

// What both planes say and are told.
v1::PutOpen OpenOf(const PutWork& work, size_t blocks);
PutResult ResultOf(const v1::PutResult& wire);

// How PutOptions has blocks encoded here. The options have passed CheckPut.
BlockRecipe RecipeOf(const Space& space, const PutOptions& options);
// The frame to send for a block of the call: raw, or encoded by the recipe with a coder of the channel.
OutgoingFrame FrameOf(const PutWork& work, const PutBlock& block, Channel& channel);

// Faults that need no server: sizes that do not fit the space's shape, empty hashes, too many
// blocks, no or an unknown plan to encode by.
absl::Status CheckPut(const Space& space, std::span<const PutBlock> blocks,
                      const PutOptions& options, const DeviceCalls& device);

// Streams the batch once; `work->results` is filled when report gets Ok.
void StartPut(const std::shared_ptr<Channel>& channel, std::shared_ptr<PutWork> work,
              SystemTime deadline, Channel::Report report);

}  // namespace larder
