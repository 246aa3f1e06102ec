// Whether a fetched block is what the store owes for the bytes that were put: those bytes, or, when a
// lossy codec stored them, exactly what its decoder makes of them.
//
// The second is checked from the frame that arrived: the expected bytes, encoded stream by stream as
// that frame says, must give its header region (and so every stream's checksum), and their decoding
// must give the fetched bytes. A server that encodes blocks again on their way to SSD (ssd_codec) makes such a frame
// from what its first plan decodes to: `via` is that plan, and both are right. Thread-compatible; keeps its scratch
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "client/cli/synthetic_kv.h"
#include "client/client.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

class BlockCheck {
 public:
  // `kv` outlives it.
  explicit BlockCheck(const SyntheticKv& kv, std::optional<BlockRecipe> via = std::nullopt)
      : kv_(kv), via_(std::move(via)) {}

  // `result` was fetched with keep_frame_header; `fetched` is the whole destination.
  bool IsRight(uint64_t block_id, uint64_t token_begin, const GetResult& result,
               std::span<const std::byte> fetched);

 private:
  // Whether `frame`, as it arrived, is what raw_ becomes, and `fetched` what it decodes to.
  bool IsMadeFromRaw(const FrameView& frame, const GetResult& result,
                     std::span<const std::byte> fetched);
  // raw_ becomes what a frame by via_ decodes to.
  bool GoThroughVia(const FrameView& frame);

  const SyntheticKv& kv_;
  const std::optional<BlockRecipe> via_;
  BlockCoder coder_;
  std::vector<std::byte> raw_;
  std::vector<std::byte> decoded_;
};

}  // namespace larder::cli
