// The Put verb: frames arrive in pieces cut anywhere, are validated before a byte of payload is
// accepted, land once in their slab, are verified as they land, and become visible only when whole.
//
//   IngestSession session = ingest.Open(space, blocks);
//   session.Begin(index, frame_bytes, retention); session.Write(piece); ...   // blocks in order,
//   parents before children results = session.Finish();
//
// A session that is destroyed early leaves nothing: its slab, its share of the ingest budget and
// its pins go with it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/format/frame.h"
#include "proto/contract/convert.h"
#include "proto/contract/outcomes.h"
#include "server/base/byte_budget.h"
#include "server/base/metrics.h"
#include "server/store/block_store.h"

namespace larder::server {

struct IngestResult {
  PutOutcome outcome = PutOutcome::kIncomplete;
  std::string message;
};

// The block that is arriving. Its fate may be settled before its last byte; then the rest is
// skipped.
struct ArrivingBlock {
  uint32_t index = 0;
  uint64_t frame_bytes = 0;
  uint64_t received = 0;
  RetentionSpec retention;
  bool settled = false;
  std::vector<std::byte> header_region;  // gathered until it can be parsed
  uint32_t header_bytes = 0;             // 0: not known yet
  FrameView frame;
  std::optional<FrameVerifier> verifier;  // set once the payload is accepted
  ByteBudget::Grant grant;
  SlabHandle slab;
  ByteSpans spans;
  size_t span = 0;  // where the next byte lands: spans[span][span_used]
  size_t span_used = 0;
  PinSet parent;
};

// One batch of one stream. Confined to the stream's reactions. The space must outlive it (spaces
// are never removed).
class IngestSession {
 public:
  IngestSession(BlockStore& blocks, ByteBudget& budget, Metrics& metrics, const SpaceEntry& space,
                uint32_t count);

  // Starts block `index` (0, 1, 2, ... below the count). INVALID_ARGUMENT when the previous block
  // is not whole or the order is broken.
  absl::Status Begin(uint32_t index, uint64_t frame_bytes, const RetentionSpec& retention);
  // The next bytes of block `index`'s frame. INVALID_ARGUMENT when they belong to no begun block or
  // exceed its frame.
  absl::Status Write(uint32_t index, std::span<const std::byte> piece);
  // One result per block of the batch. Call once.
  std::vector<IngestResult> Finish();

 private:
  size_t GatherHeader(std::span<const std::byte> piece);
  void AcceptHeader();
  bool Identify();
  bool FindParent();
  bool MakeRoom();
  void Land(std::span<const std::byte> piece);
  void Complete();
  void Settle(PutOutcome outcome, std::string_view message);

  BlockStore& blocks_;
  ByteBudget& budget_;
  Metrics& metrics_;
  const SpaceEntry& space_;
  const uint32_t count_;
  std::vector<IngestResult> results_;  // of the blocks that have begun: grows with what arrives
  std::optional<ArrivingBlock> arriving_;
  PinSet last_;  // the last published block stays pinned, so that its child finds it
};

}  // namespace larder::server
