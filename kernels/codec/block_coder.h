// Encodes a raw block into a frame and decodes its streams, whatever their codecs.
//
// Streams that the plan does not touch (rope parts, states, opaque rows), dtypes other than bf16 and
// fp16, head dimensions that are not a multiple of 16, and streams whose values can not be coded stand
// raw, as their descriptor says. stream_layout.h has the layout of the others.
//
//   BlockCoder coder;
//   auto encoded = coder.Encode({.plan = plan, .rope = rope}, identity, shape, raw);
//   ... FrameView::Parse, CheckCodecs, verify ...
//   coder.DecodeStream(view, index, stream_bytes, RawTarget(shape, raw_out));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/codec/block_recipe.h"
#include "kernels/codec/check_codecs.h"
#include "kernels/codec/registry.h"
#include "kernels/codec/stream_layout.h"
#include "kernels/codec/tile_codec.h"
#include "kernels/format/frame.h"

namespace larder {

// A frame in two parts: its header region, and the rest in memory that the coder keeps, readable until
// its next call.
struct EncodedParts {
  std::vector<std::byte> header;  // empty: as EncodedBlock's frame
  std::span<const std::byte> payload;
  uint32_t coded_streams = 0;
  uint32_t fallback_streams = 0;
};

// A stream that has been coded: how, and the bytes it takes.
struct CodedStream {
  StreamCodec codec;
  uint64_t bytes = 0;
};

// The frame of streams that stand in `payload`, each followed by zero to a multiple of 64, in the order of RawStreams(shape);
// one per entry of `planned`, which has what they were to be coded with. Where all are raw the frame has no other source.
EncodedParts JoinStreams(const FrameIdentity& identity, const KvShape& shape,
                         std::span<const StreamCodec> planned, std::span<const CodedStream> streams,
                         std::span<const std::byte> payload, const Checksum128& source_root);

struct EncodedBlock {
  std::vector<std::byte> frame;
  uint32_t coded_streams = 0;
  uint32_t fallback_streams = 0;  // the plan has a codec for them, their values did not fit it
};

// Where a stream's rows go: rows of head h of stream (layer, kind).
class StreamTarget {
 public:
  virtual ~StreamTarget() = default;
  // `layer` is absolute. Rows of head_dim elements; all tokens of the block.
  virtual TargetRows Rows(StreamKind kind, uint32_t layer, uint32_t head) const = 0;
};

// The raw block itself, in its shape's axis order.
class RawTarget final : public StreamTarget {
 public:
  // raw.size() is RawBytes(shape); the memory outlives the target.
  RawTarget(const KvShape& shape, std::span<std::byte> raw) : shape_(shape), raw_(raw) {}
  TargetRows Rows(StreamKind kind, uint32_t layer, uint32_t head) const override;

 private:
  const KvShape shape_;
  const std::span<std::byte> raw_;
};

// Keeps its scratch memory and rotation table between blocks. Thread-compatible: one per thread.
class BlockCoder {
 public:
  explicit BlockCoder(Isa isa = Isa::kSimd) : isa_(isa) {}

  // Whether the recipe would encode any stream of a block of this shape (with this many tokens, at
  // this position): if not, its raw frame is what Encode gives.
  static bool WouldCode(const BlockRecipe& recipe, KvShape shape, uint32_t tokens,
                        uint64_t token_begin);

  // The whole frame; empty when identity, shape or raw.size() is not valid, the frame would be too
  // large, or the recipe's parameters are not (BuildFrameHeader's and ParsePlan's rules). Two calls
  // with the same arguments give the same bytes.
  EncodedBlock Encode(const BlockRecipe& recipe, const FrameIdentity& identity,
                      const KvShape& shape, std::span<const std::byte> raw,
                      const Checksum128& source_root = {});

  // The same without the copy into one piece, for callers that scatter the frame over other memory.
  EncodedParts EncodeParts(const BlockRecipe& recipe, const FrameIdentity& identity,
                           const KvShape& shape, std::span<const std::byte> raw,
                           const Checksum128& source_root = {});

  // The same with each stream stored as the same stream of `like` is, and its identity: what the
  // writer of `like` would have made of `raw`. For checking a received frame against known bytes.
  EncodedBlock EncodeLike(const FrameView& like, std::span<const std::byte> raw);

  // Decodes stream `index` of a frame that passed CheckCodecs. `in` holds the stream's bytes, without
  // padding, verified or not: false when they are not well-formed.
  bool DecodeStream(const FrameView& frame, size_t index, std::span<const std::byte> in,
                    const StreamTarget& target);
  // Whether DecodeStream would be true. At once for codecs whose size is fixed, whose every byte string
  // decodes; the others are decoded into memory that the coder keeps.
  bool IsWellFormed(const FrameView& frame, size_t index, std::span<const std::byte> in);

 private:
  using ChooseCodec = std::function<StreamCodec(size_t index, const RawStream& stream)>;
  EncodedParts EncodeStreams(const ChooseCodec& choose, const FrameIdentity& identity,
                             const KvShape& shape, std::span<const std::byte> raw,
                             const Checksum128& source_root);
  // Writes the encoded stream to `out`, which has room for the most it may take, and returns its size;
  // 0 when its values can not be coded.
  uint64_t EncodeStream(const StreamCodec& codec, const KvShape& shape, const RawStream& stream,
                        uint64_t token_begin, std::span<const std::byte> raw, std::byte* out);
  const RopeTable* RopeOf(const CodecParams& params, uint64_t begin, uint32_t tokens);

  const Isa isa_;
  Workspace workspace_;
  std::vector<std::byte> payload_;  // of the frame being built
  std::vector<std::byte> rows_;     // that IsWellFormed decodes
  std::unique_ptr<RopeTable> rope_;
  CodecParams rope_params_;
  uint64_t rope_begin_ = 0;
  uint32_t rope_tokens_ = 0;
};

// Whether a parsed frame has streams that DecodeStream may refuse although their checksums hold: those of
// codecs whose size varies.
bool HasVaryingStreams(const FrameView& frame);

// Decodes a whole verified frame into its raw form; false when it is not well-formed. For tools and
// tests: readers decode stream by stream as bytes arrive.
bool DecodeFrame(BlockCoder& coder, const FrameView& frame, std::span<const std::byte> bytes,
                 std::span<std::byte> raw);

}  // namespace larder
