// All streams of a block's frame, coded on a device by one call: which tile runs, row copies and cleared bytes make a payload.
//
//   const auto plan = FramePlan::Create(shape, codecs, token_begin);   // once per (shape, codecs, position)
//   copy plan->image() to the device;
//   const BoundFrames frames = plan->Bind(memory);                     // where rows and payloads stand
//   EncodeFrames(frames, stream);                                      // frame_kernels.cuh
//
// A payload is that of kernels/format/FORMAT.md without the header region, byte for byte what BlockCoder makes: streams layer by
// layer, each with its sinks, then a tile per head. Layers whose streams have the same codecs go into one launch per kind.
// Rows stand wherever RunRows can say, an engine's pages included; nothing is copied in between.
//
// Two kinds. kFixed: every stream has its place, so a stream that can not be coded spoils its block, which is then coded with
// another plan. kPacked: tiles are coded apart and moved together behind one another (frame_pack.h), so sizes may vary and a
// stream that can not be coded stands raw; at the cost of reading and writing the encoded bytes once more, and of
// FrameMemory::scratch. Codecs whose size varies make every plan a packed one. Decoding never moves a tile.
//
// Not planned (Create gives nullopt): states and opaque streams; rows that are no multiple of 16 bytes.
// Immutable after construction: thread-safe.   Cost  Bind: a microsecond; device memory is the caller's alone.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "kernels/codec/device/frame_pack.h"
#include "kernels/codec/device/run_setup.h"
#include "kernels/codec/registry.h"
#include "kernels/format/kv_layout.h"
#include "kernels/paging/row_copy.h"

namespace larder {

enum class FramePlacing : uint8_t { kFixed, kPacked };

// Memory of some blocks of one shape; pointers are device pointers and stay valid until the stream has passed the call.
struct FrameMemory {
  // By kind in the order of StreamsOfLayer; stream s is layer shape.layer_begin + s.
  std::array<RunRows, kFrameKindsMax> rows;
  uint8_t* payloads = nullptr;  // aligned to 16
  int64_t payload_stride = 0;   // at least payload_bytes(), a multiple of 16
  uint32_t blocks = 0;
  const void* image = nullptr;  // a copy of the plan's
  // flags() x blocks words. An encoder sets FlagOf a stream that can not be coded; of a kFixed plan the payload then means
  // nothing. A decoder of a packed plan sets it where a stream is not well-formed: its rows then mean nothing.
  uint32_t* refused = nullptr;
  // Of a packed plan: scratch_bytes(blocks), or decode_scratch_bytes(blocks), aligned to 16, of one call at a time; and
  // [block][stream], written by an encoder, read by a decoder.
  uint8_t* scratch = nullptr;
  PlacedStream* placed = nullptr;
};

// Bytes that no stream covers: [block][stream], `bytes` each.
struct FrameClear {
  uint8_t* base = nullptr;
  int64_t block_stride = 0;
  int64_t stream_stride = 0;
  uint32_t streams = 0;
  uint32_t bytes = 0;
};

// What one call does. Of a kFixed plan in any order: no step touches another's bytes. Of a packed plan `pack` ends an encoding
// and begins a decoding; rows that no codec touches are its work, too.
struct BoundFrames {
  bool encode = false;
  uint32_t blocks = 0;
  std::vector<TileRun> runs;
  std::vector<RowCopy> copies;
  std::vector<FrameClear> clears;
  std::optional<FramePack> pack;
};

class FramePlan {
 public:
  // `codecs` has one entry per stream in the order of RawStreams(shape).
  static std::optional<FramePlan> Create(const KvShape& shape, std::span<const StreamCodec> codecs,
                                         uint64_t token_begin,
                                         FramePlacing placing = FramePlacing::kFixed);

  bool packed() const { return packed_; }
  uint64_t payload_bytes() const { return payload_bytes_; }  // of a packed plan the most
  uint64_t scratch_bytes(uint32_t blocks) const;             // of an encoder; 0 of a kFixed plan
  uint64_t decode_scratch_bytes(uint32_t blocks) const;      // the same of a decoder
  std::span<const std::byte> image() const { return image_; }
  uint32_t flags() const { return flags_; }  // words per block
  // Where in FrameMemory::refused the flag of a stream of a block stands; nullopt for a stream that is not coded.
  std::optional<size_t> FlagOf(uint32_t stream, uint32_t block, uint32_t blocks) const;

  BoundFrames BindEncode(const FrameMemory& memory) const { return Bind(memory, true); }
  BoundFrames BindDecode(const FrameMemory& memory) const { return Bind(memory, false); }

 private:
  // Streams of one kind in consecutive layers of equal codecs.
  struct Part {
    size_t kind = 0;
    uint32_t layer = 0;  // the first, from 0
    uint32_t layers = 0;
    uint64_t offset = 0;  // of its first stream in the payload
    uint64_t layer_bytes = 0;
    uint32_t row_bytes = 0;
    uint32_t copied_tokens = 0;  // sinks, or all tokens
    int64_t copied_token_stride = 0;
    int64_t copied_head_stride = 0;
    uint64_t bytes = 0;  // of a stream
    bool coded = false;
    TileRun run;  // when coded
    std::optional<RunSetup> setup;
    size_t image_at = 0;
    uint32_t flags_at = 0;
    // Of a packed plan; what stands "before the part's" is counted in bytes, tiles and flags of one block.
    PackStream packing;
    uint64_t coder_at = 0;
  };

  FramePlan() = default;
  bool AddPart(const KvShape& shape, const StreamCodec& codec, uint64_t token_begin, Part part);
  bool AddLayers(const KvShape& shape, std::span<const StreamCodec> of_layer, uint64_t token_begin,
                 uint32_t layer, uint32_t end);
  void AddPacking(const KvShape& shape, const StreamCodec& codec, Part& part);
  void WritePackTable();
  BoundFrames Bind(const FrameMemory& memory, bool encode) const;
  void BindFixed(const Part& part, const RunRows& rows, const FrameMemory& memory,
                 BoundFrames& frames) const;
  FramePack PackOf(const FrameMemory& memory, bool encode) const;
  TileRun RunOf(const Part& part, const RunRows& rows, const FrameMemory& memory,
                const BoundFrames& frames) const;
  static bool PlanRaw(const KvShape& shape, Part& part);
  static bool PlanCoded(const KvShape& shape, const StreamCodec& codec, uint64_t token_begin,
                        Part& part);

  size_t kinds_ = 0;
  uint32_t heads_ = 0;
  uint32_t tokens_ = 0;
  uint64_t payload_bytes_ = 0;
  uint32_t flags_ = 0;
  bool packed_ = false;
  // Of a packed plan, of one block.
  uint32_t streams_ = 0;
  uint32_t tiles_ = 0;
  uint64_t draft_bytes_ = 0;
  uint64_t coder_bytes_ = 0;  // of TileRun::scratch
  size_t table_at_ = 0;       // of PackStreams in the image
  std::vector<Part> parts_;
  std::vector<std::byte> image_;
};

// Where the rows of blocks stand, by kind in the order of StreamsOfLayer.
using BlockRows = std::array<RunRows, kFrameKindsMax>;

// Rows of raw blocks of an attention or latent shape that stand one after the other at `base`.
BlockRows RawRowsAt(const KvShape& shape, uint8_t* base);

// The copies, a kind each, of one block's rows from one layout to another. Empty for shapes without rows.
std::vector<RowCopy> RowCopiesOf(const KvShape& shape, const BlockRows& from, const BlockRows& to);

// Whether bound frames are ones that may be launched: shapes, pointers and alignment of every step.
bool FramesHold(const BoundFrames& frames, bool encode);

}  // namespace larder
