#include "client/outgoing_frame.h"

#include <array>

#include "kernels/format/frame.h"

namespace larder {
namespace {

constexpr std::array<std::byte, kFrameAlignment> kPadding{};

FrameIdentity IdentityOf(const Space& space, const PutBlock& block) {
  FrameIdentity identity;
  identity.space_digest = space.digest;
  identity.manifest_digest = space.manifest_digest;
  identity.prefix_hash = block.hash.bytes;
  identity.prefix_hash_bytes = block.hash.size;
  identity.parent_hash = block.parent.bytes;
  identity.parent_hash_bytes = block.parent.size;
  identity.token_begin = block.token_begin;
  return identity;
}

}  // namespace

KvShape ShapeOf(const Space& space, const PutBlock& block) {
  KvShape shape = space.shape;
  if (block.tokens != 0) shape.tokens = block.tokens;
  return shape;
}

OutgoingFrame::Piece RawHeader(const Space& space, const PutBlock& block) {
  auto header = std::make_shared<const std::vector<std::byte>>(BuildRawFrameHeader(
      IdentityOf(space, block), ShapeOf(space, block), {block.raw.get(), block.raw_bytes}));
  return {*header, header};
}

OutgoingFrame RawPayload(const Space& space, const PutBlock& block) {
  const KvShape shape = ShapeOf(space, block);
  const std::span<const std::byte> raw(block.raw.get(), block.raw_bytes);
  OutgoingFrame frame;
  frame.frame_bytes = RawFrameBytes(shape);
  for (const RawStream& stream : RawStreams(shape)) {
    frame.pieces.push_back({raw.subspan(stream.offset, stream.bytes), block.raw});
    const uint64_t padding = AlignFrame(stream.bytes) - stream.bytes;
    if (padding > 0) frame.pieces.push_back({std::span(kPadding).first(padding), nullptr});
  }
  return frame;
}

OutgoingFrame Frame(const Space& space, const PutBlock& block) {
  OutgoingFrame frame = RawPayload(space, block);
  frame.pieces.insert(frame.pieces.begin(), RawHeader(space, block));
  return frame;
}

OutgoingFrame EncodedFrame(BlockCoder& coder, const BlockRecipe& recipe, const Space& space,
                           const PutBlock& block) {
  const KvShape shape = ShapeOf(space, block);
  const std::span<const std::byte> raw(block.raw.get(), block.raw_bytes);
  const FrameIdentity identity = IdentityOf(space, block);
  FrameView raw_view;
  const auto raw_header = BuildRawFrameHeader(identity, shape, raw);
  const bool parsed = FrameView::Parse(raw_header, &raw_view) == FrameFault::kNone;
  // The raw form's checksum names the source: the server tells the same block by it.
  EncodedBlock encoded;
  if (parsed) encoded = coder.Encode(recipe, identity, shape, raw, raw_view.header().root);
  FrameView view;
  if (encoded.coded_streams == 0 || FrameView::Parse(encoded.frame, &view) != FrameFault::kNone) {
    return Frame(space, block);
  }
  const auto frame = std::make_shared<const std::vector<std::byte>>(std::move(encoded.frame));
  const auto bytes = std::span(*frame);
  const size_t header_bytes = view.header().header_bytes;
  return {{{bytes.first(header_bytes), frame}, {bytes.subspan(header_bytes), frame}},
          frame->size()};
}

}  // namespace larder
