// How blocks are coded on a device: the plans of the shapes and positions that come by, each made once.
//
// Thread-safe. At most kPlansMax plans are kept, the least recently used goes; a plan lives as long as somebody holds it.
// Cost  a look-up compares a few hundred codecs; making a plan computes the angles of its rotation, as a coder of the host does
//       for a new position.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "kernels/codec/device/frame_plan.h"
#include "server/base/mutex.h"

namespace larder::server {

// A packed plan, so that sizes may vary and streams that can not be coded stand raw. Immutable but for `proven`.
struct PlannedBlock {
  KvShape shape;
  std::vector<StreamCodec> codecs;  // by stream
  uint64_t position = 0;            // of the rotation; 0 when nothing turns
  FramePlan plan;
  // Whether a device has once made the host's frame of such a block; plans that differ in position alone share it.
  std::shared_ptr<std::atomic<bool>> proven;
  // Of this plan among all of its DevicePlans, from 1: who keeps its image on the device knows it again.
  uint64_t number = 0;
};

class DevicePlans {
 public:
  // Chains share positions. 200 KiB each, and 4 MiB for each table of symbols.
  static constexpr size_t kPlansMax = 32;

  // nullptr when nothing of such a block is coded, or device code can not code it.
  std::shared_ptr<const PlannedBlock> Find(const BlockRecipe& recipe, const KvShape& shape,
                                           uint64_t token_begin);

 private:
  std::shared_ptr<const PlannedBlock> Kept(const KvShape& shape,
                                           std::span<const StreamCodec> codecs, uint64_t position);
  std::shared_ptr<std::atomic<bool>> ProofLocked(const KvShape& shape,
                                                 std::span<const StreamCodec> codecs)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<uint64_t> made_{0};
  Mutex mutex_;
  std::list<std::shared_ptr<const PlannedBlock>> plans_ ABSL_GUARDED_BY(mutex_);  // last used first
};

// What an encoder has placed, as JoinStreams takes it.
std::vector<CodedStream> StreamsOf(const PlannedBlock& planned,
                                   std::span<const PlacedStream> placed);
// Bytes of the payload that `placed` describes.
uint64_t PayloadBytes(std::span<const PlacedStream> placed);

}  // namespace larder::server
