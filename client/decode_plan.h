// How frames are expanded on a device, by their streams' codecs. Internal to the client library.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "kernels/codec/device/frame_plan.h"
#include "kernels/format/frame.h"

namespace larder {

struct DecodePlan {
  KvShape shape;
  std::vector<StreamCodec> codecs;  // by stream
  uint64_t position = 0;            // of the rotation; 0 when nothing turns
  FramePlan plan;
};

// The plans of the shapes, codecs and positions that came by last. Thread-safe.
class DecodePlans {
 public:
  // Of tables; chains share positions. 200 KiB for each position of a rotation, 4 MiB for each table of symbols.
  static constexpr uint64_t kImageBytesMax = uint64_t{64} << 20;

  // For a frame that passed CheckCodecs; null when device code can not decode it.
  std::shared_ptr<const DecodePlan> Find(const FrameView& frame);

 private:
  std::mutex mutex_;
  std::list<std::shared_ptr<const DecodePlan>> plans_;  // last used first
  uint64_t image_bytes_ = 0;
};

// Where a frame's streams stand in its payload, as a decoder of a packed plan reads it.
std::vector<PlacedStream> PlacedStreamsOf(const FrameView& frame, const DecodePlan& plan);

}  // namespace larder
