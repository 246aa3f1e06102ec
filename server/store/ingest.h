// The Put verb: frames arrive in pieces cut anywhere, are validated before a byte of payload is
// accepted, land once in their slab, are verified as they land, and become visible only when whole.
//
//   IngestSession session = ingest.Open(space, blocks);
//   session.Begin(index, frame_bytes, retention); session.Write(piece); ...   // blocks in order,
//   parents before children
//   session.Finish([](std::vector<IngestResult> results) { ... });
//
// A session that is destroyed early leaves nothing: its slab, its share of the ingest budget and
// its pins go with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/codec/check_codecs.h"
#include "kernels/codec/coder_pool.h"
#include "kernels/format/frame.h"
#include "proto/contract/convert.h"
#include "proto/contract/outcomes.h"
#include "server/base/byte_budget.h"
#include "server/base/metrics.h"
#include "server/codec/device_encoder.h"
#include "server/store/block_store.h"
#include "server/store/durable_results.h"
#include "server/store/migrate.h"

namespace larder::server {

// Where a frame lands before it is published. Its spans stay writable as long as it lives.
struct IngestRoom {
  ByteBudget::Grant grant;
  SlabHandle slab;
  // A raw frame that is to be encoded lands here instead, and its encoded form in the slab.
  std::unique_ptr<std::byte[]> staging;
  ByteSpans spans;  // of the whole frame
  // Of a block that is not in its turn yet:
  PinSet parent;                          // not to be evicted for it
  std::optional<FrameVerifier> verifier;  // to be fed the payload as it lands
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
  std::optional<IngestRoom> room;
  bool encode = false;
  size_t span = 0;  // where the next byte lands: room->spans[span][span_used]
  size_t span_used = 0;
  PinSet parent;
};

// What the verb works with; outlives every session.
struct IngestParts {
  BlockStore& blocks;
  ByteBudget& budget;
  CoderPool& coders;
  Metrics& metrics;
  Migrate* migrate = nullptr;       // none: nothing is durable
  DeviceEncoder* device = nullptr;  // none: the CPU encodes
};

// One batch of one stream. Confined to the stream's reactions. The space must outlive it (spaces
// are never removed).
//
// A raw frame is encoded with the batch's recipe on the thread that brought its last byte: so a
// parent is published before its child arrives, and a stream that encodes is read no faster than
// that. The threads of the transport bound how many encode at once. A device encodes in its place
// where there is one that can; the thread then waits, for a bounded time, as long as it would work.
class IngestSession {
 public:
  IngestSession(const IngestParts& parts, const SpaceEntry& space, uint32_t count);

  // Blocks of the batch.
  uint32_t count() const { return count_; }
  // Stores the raw frames of this batch with another recipe than the space's.
  void UseRecipe(const BlockRecipe& recipe) { recipe_ = recipe; }
  // Whether raw frames of whole blocks are encoded, on the thread that brings the last byte of one.
  bool Encodes() const;

  // The results wait for the blocks, and those that were there already, to be durable, at most
  // kDurablePatience each. Before the first block.
  void AwaitDurable() { await_durable_ = true; }
  static constexpr auto kDurablePatience = std::chrono::seconds(10);

  // Starts block `index` (0, 1, 2, ... below the count). INVALID_ARGUMENT when the previous block
  // is not whole or the order is broken.
  absl::Status Begin(uint32_t index, uint64_t frame_bytes, const RetentionSpec& retention);
  // The next bytes of block `index`'s frame. INVALID_ARGUMENT when they belong to no begun block or
  // exceed its frame.
  absl::Status Write(uint32_t index, std::span<const std::byte> piece);
  // For transports that can write payload where it belongs: where the next bytes of the begun block land,
  // at most `bytes_max` of them. Empty while its header is not whole and when its fate is settled: then
  // Skip the rest.
  ByteSpans Landing(uint64_t bytes_max) const;
  // The first `bytes` bytes of Landing's spans have been written. They are verified here, after the last
  // moment at which anybody else could touch them, unless the room's verifier has seen them.
  absl::Status Landed(uint32_t index, uint64_t bytes);
  // Room for a later block of this batch, so that its payload may arrive before its turn comes: spans behind
  // its header region. nullopt when it can be told already that the block will not be stored, or when there is
  // no room now: then its turn decides. `previous`: the block before it, which may become its parent.
  std::optional<IngestRoom> RoomAhead(std::span<const std::byte> header_region,
                                      uint64_t frame_bytes, const RetentionSpec& retention,
                                      std::span<const std::byte> previous);
  // The begun block lands there, where its payload stands already and was fed to its verifier: before the first byte of
  // its header. Nobody writes there any more.
  void UseRoom(IngestRoom room) { arriving_->room = std::move(room); }
  // `bytes` bytes of a settled block's frame are not brought.
  absl::Status Skip(uint32_t index, uint64_t bytes);
  // Bytes of the begun block's frame that have not come; 0 when none is begun.
  uint64_t missing() const { return arriving_ ? arriving_->frame_bytes - arriving_->received : 0; }
  // Gives `done` one result per block of the batch, exactly once: on this thread before Finish
  // returns, or later on an I/O thread when the batch waits for its blocks to be durable. The
  // session must live until then. Call once.
  void Finish(std::function<void(std::vector<IngestResult>)> done);

 private:
  size_t GatherHeader(std::span<const std::byte> piece);
  void AcceptHeader();
  bool Identify();
  bool FindParent();
  bool WouldEncode(const FrameView& frame) const;
  bool MakeRoom();
  // nullopt, and why (empty: nothing may be evicted), when there is none now.
  std::optional<IngestRoom> TakeRoom(uint64_t frame_bytes, bool encode, uint8_t priority,
                                     std::string_view* reason);
  void Encode();
  void StoreEncoded(const EncodedParts& encoded);
  absl::Status Receive(uint32_t index, uint64_t bytes);
  void TryStreams();
  void Land(std::span<const std::byte> piece);
  void Verify(std::span<const std::byte> landed);
  void Complete();
  void Settle(PutOutcome outcome);  // with the outcome's own message
  void Settle(PutOutcome outcome, std::string_view message);
  void Persist(uint32_t index, PinSet block);

  BlockStore& blocks_;
  ByteBudget& budget_;
  CoderPool& coders_;
  DeviceEncoder* const device_;
  Metrics& metrics_;
  const SpaceEntry& space_;
  BlockRecipe recipe_;
  const uint32_t count_;
  std::vector<IngestResult> results_;  // of the blocks that have begun: grows with what arrives
  std::optional<ArrivingBlock> arriving_;
  Migrate* const migrate_;
  bool await_durable_ = false;
  std::shared_ptr<DurableResults> durability_;  // once a block waits
  PinSet last_;  // the last published block stays pinned, so that its child finds it
};

}  // namespace larder::server
