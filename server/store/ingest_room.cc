// Where a put's blocks land: the room that each takes, in its turn or ahead of it.
#include <cstring>
#include <utility>

#include "server/base/fault_point.h"
#include "server/store/ingest.h"
#include "server/tier/byte_spans.h"

namespace larder::server {

bool IngestSession::Encodes() const {
  const KvShape& shape = space_.shape;
  return BlockCoder::WouldCode(recipe_, shape, shape.tokens, shape.tokens);  // beyond the sinks
}

bool IngestSession::WouldEncode(const FrameView& frame) const {
  const FrameHeader& header = frame.header();
  KvShape full = frame.shape();
  full.tokens = space_.shape.tokens;
  return IsRaw(frame) && BlockCoder::WouldCode(recipe_, full, header.tokens, header.token_begin);
}

std::optional<IngestRoom> IngestSession::TakeRoom(uint64_t frame_bytes, bool encode,
                                                  uint8_t priority, std::string_view* reason) {
  if (frame_bytes > budget_.bytes_max()) {
    *reason =
        "the frame is larger than this server ever takes in (ingest_bytes_max, or half of "
        "dram_bytes); use smaller blocks or give the server more memory";
    return std::nullopt;
  }
  auto grant = budget_.Take(frame_bytes);
  if (!grant || FaultAt("put.budget") != 0) {
    *reason = "ingest_bytes_max is in flight already; back off and put again";
    return std::nullopt;
  }
  IngestRoom room;
  room.grant = *std::move(grant);
  if (encode) {
    room.staging = std::make_unique_for_overwrite<std::byte[]>(frame_bytes);
    room.spans = {{room.staging.get(), frame_bytes}};
    return room;
  }
  room.slab = blocks_.Reserve(space_, frame_bytes, priority);
  if (!room.slab) return std::nullopt;
  room.spans = room.slab.spans();
  return room;
}

std::optional<IngestRoom> IngestSession::RoomAhead(std::span<const std::byte> header_region,
                                                   uint64_t frame_bytes,
                                                   const RetentionSpec& retention,
                                                   std::span<const std::byte> previous) {
  uint32_t header_bytes = 0;
  FrameView frame;
  if (FrameView::HeaderBytes(header_region, &header_bytes) != FrameFault::kNone ||
      header_bytes != header_region.size() ||
      FrameView::Parse(header_region, &frame) != FrameFault::kNone ||
      CheckCodecs(frame) != FrameFault::kNone) {
    return std::nullopt;
  }
  const FrameHeader& header = frame.header();
  if (header.frame_bytes != frame_bytes || header.space_digest != space_.digest) {
    return std::nullopt;
  }
  // What is resident is settled in its turn.
  if (!blocks_.PinBlock(space_, {header.prefix_hash_bytes, header.prefix_hash}).empty()) {
    return std::nullopt;
  }
  PinSet parent;
  if (header.parent_hash_bytes > 0) {
    FrameHeader before{};
    if (previous.size() >= sizeof(before)) std::memcpy(&before, previous.data(), sizeof(before));
    if (before.prefix_hash_bytes != header.parent_hash_bytes ||
        before.prefix_hash != header.parent_hash) {
      parent = blocks_.PinBlock(space_, {header.parent_hash_bytes, header.parent_hash});
      if (parent.empty()) return std::nullopt;
    }
  }
  std::string_view reason;
  auto room = TakeRoom(frame_bytes, WouldEncode(frame), retention.priority, &reason);
  if (room) {
    room->parent = std::move(parent);
    room->verifier.emplace(frame);
  }
  return room;
}

}  // namespace larder::server
