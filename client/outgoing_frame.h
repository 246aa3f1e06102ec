// The frame of a block to be put, as memory that is already there. Internal to the client library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "client/client.h"
#include "kernels/codec/block_coder.h"

namespace larder {

// The header region, then stream and padding in turn.
struct OutgoingFrame {
  struct Piece {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };
  std::vector<Piece> pieces;
  uint64_t frame_bytes = 0;
};

// The block's own shape: the space's with the tokens it holds.
KvShape ShapeOf(const Space& space, const PutBlock& block);

// The raw frame's header region: one pass over the block, for its checksums.
OutgoingFrame::Piece RawHeader(const Space& space, const PutBlock& block);
// The raw frame without its header region, which `frame_bytes` counts all the same. Reads no byte of the block.
OutgoingFrame RawPayload(const Space& space, const PutBlock& block);
// Both.
OutgoingFrame Frame(const Space& space, const PutBlock& block);
// The same, encoded by a recipe: a header region and one piece. A block none of whose streams can be coded is
// as Frame has it.
OutgoingFrame EncodedFrame(BlockCoder& coder, const BlockRecipe& recipe, const Space& space,
                           const PutBlock& block);

}  // namespace larder
