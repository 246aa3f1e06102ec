#include "server/store/ingest.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/copy/block_copy.h"
#include "proto/contract/errors.h"
#include "server/base/fault_point.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

// Verified and copied in steps that stay in the first-level cache between the two.
constexpr size_t kLandBytes = 16 * 1024;

PutOutcome OutcomeOf(FrameFault fault) {
  switch (fault) {
    case FrameFault::kRootMismatch:
    case FrameFault::kStreamMismatch:
      return PutOutcome::kCorrupt;
    case FrameFault::kBadDescriptor:
      return PutOutcome::kCodecUnknown;
    default:
      return PutOutcome::kInvalid;
  }
}

std::string_view MessageOf(PutOutcome outcome) {
  switch (outcome) {
    case PutOutcome::kConflict:
      return "other bytes are stored under this hash; the engines' hash schemes or weights differ "
             "(compare them with 'larder manifest diff' and 'larder hash')";
    case PutOutcome::kParentAbsent:
      return "the parent block is not resident; put the chain from its first missing block";
    case PutOutcome::kNoRoom:
      return "no block may be evicted for this one now: all that its tenant may push out are "
             "leased or "
             "in transfer, or the frame is larger than the tenant's quota; back off and put again";
    default:
      return "";
  }
}

}  // namespace

IngestSession::IngestSession(const IngestParts& parts, const SpaceEntry& space, uint32_t count)
    : blocks_(parts.blocks),
      budget_(parts.budget),
      coders_(parts.coders),
      device_(parts.device),
      metrics_(parts.metrics),
      space_(space),
      recipe_(space.codec.recipe),
      count_(count),
      migrate_(parts.migrate) {}

absl::Status IngestSession::Begin(uint32_t index, uint64_t frame_bytes,
                                  const RetentionSpec& retention) {
  if (arriving_)
    return BrokenStream("a block begins before the one before it is whole",
                        "blocks one after the other");
  if (index != results_.size() || index >= count_) {
    return BrokenStream(absl::StrCat("block index ", index),
                        absl::StrCat(results_.size(), ", the next of ", count_, " blocks"));
  }
  if (frame_bytes < sizeof(FrameHeader) || frame_bytes > kFrameBytesMax) {
    return BrokenStream(absl::StrCat("frame_bytes ", frame_bytes),
                        absl::StrCat(sizeof(FrameHeader), " to ", kFrameBytesMax));
  }
  results_.emplace_back();
  arriving_.emplace();
  arriving_->index = index;
  arriving_->frame_bytes = frame_bytes;
  arriving_->retention = retention;
  return absl::OkStatus();
}

// Counts bytes of the begun block that have come, in whatever way.
absl::Status IngestSession::Receive(uint32_t index, uint64_t bytes) {
  if (!arriving_ || arriving_->index != index) {
    return BrokenStream(absl::StrCat("payload for block ", index),
                        "payload of the block that began last");
  }
  if (bytes > arriving_->frame_bytes - arriving_->received) {
    return BrokenStream("payload beyond the announced frame_bytes", "exactly frame_bytes bytes");
  }
  arriving_->received += bytes;
  return absl::OkStatus();
}

absl::Status IngestSession::Write(uint32_t index, std::span<const std::byte> piece) {
  if (absl::Status status = Receive(index, piece.size()); !status.ok()) return status;
  if (!arriving_->settled && !arriving_->verifier) piece = piece.subspan(GatherHeader(piece));
  if (!arriving_->settled && !piece.empty()) Land(piece);
  if (arriving_->received == arriving_->frame_bytes) Complete();
  return absl::OkStatus();
}

ByteSpans IngestSession::Landing(uint64_t bytes_max) const {
  ByteSpans landing;
  if (!arriving_ || arriving_->settled || !arriving_->verifier) return landing;
  size_t used = arriving_->span_used;
  for (size_t i = arriving_->span; i < arriving_->room->spans.size() && bytes_max > 0; ++i) {
    const auto rest = arriving_->room->spans[i].subspan(used);
    const auto part = rest.first(std::min<uint64_t>(rest.size(), bytes_max));
    if (!part.empty()) landing.push_back(part);
    bytes_max -= part.size();
    used = 0;
  }
  return landing;
}

absl::Status IngestSession::Landed(uint32_t index, uint64_t bytes) {
  if (absl::Status status = Receive(index, bytes); !status.ok()) return status;
  const bool verified = arriving_->room && arriving_->room->verifier;
  while (bytes > 0 && !arriving_->settled && !verified) {
    const auto target = arriving_->room->spans[arriving_->span].subspan(arriving_->span_used);
    const size_t step = std::min<uint64_t>({target.size(), bytes, kLandBytes});
    Verify(target.first(step));
    bytes -= step;
  }
  if (arriving_->received == arriving_->frame_bytes) Complete();
  return absl::OkStatus();
}

absl::Status IngestSession::Skip(uint32_t index, uint64_t bytes) {
  if (absl::Status status = Receive(index, bytes); !status.ok()) return status;
  if (!arriving_->settled) return BrokenStream("a block that is left out", "its payload");
  if (arriving_->received == arriving_->frame_bytes) Complete();
  return absl::OkStatus();
}

// Takes what belongs to the header region and returns how much that was.
size_t IngestSession::GatherHeader(std::span<const std::byte> piece) {
  std::vector<std::byte>& gathered = arriving_->header_region;
  size_t taken = 0;
  const auto take_up_to = [&](size_t size) {
    const size_t step = std::min(size - gathered.size(), piece.size() - taken);
    gathered.insert(gathered.end(), piece.begin() + taken, piece.begin() + taken + step);
    taken += step;
  };
  if (arriving_->header_bytes == 0) {
    take_up_to(sizeof(FrameHeader));
    if (gathered.size() < sizeof(FrameHeader)) return taken;
    const FrameFault fault = FrameView::HeaderBytes(gathered, &arriving_->header_bytes);
    if (fault != FrameFault::kNone || arriving_->header_bytes > arriving_->frame_bytes) {
      Settle(PutOutcome::kInvalid,
             FrameFaultText(fault == FrameFault::kNone ? FrameFault::kBadHeaderSize : fault));
      return taken;
    }
  }
  take_up_to(arriving_->header_bytes);
  if (gathered.size() == arriving_->header_bytes) AcceptHeader();
  return taken;
}

// Everything that can be refused is refused here, before a byte of payload is stored.
void IngestSession::AcceptHeader() {
  if (!Identify() || !FindParent() || !MakeRoom()) return;
  arriving_->verifier.emplace(arriving_->frame);
  const size_t copied = CopyInto(arriving_->room->spans, arriving_->header_region);
  for (size_t left = copied; left > 0;) {  // where the payload goes on
    const size_t step = std::min(left, arriving_->room->spans[arriving_->span].size());
    left -= step;
    arriving_->span_used = step;
    if (step == arriving_->room->spans[arriving_->span].size()) {
      ++arriving_->span;
      arriving_->span_used = 0;
    }
  }
}

bool IngestSession::Identify() {
  FaultAt("put.header");
  FrameFault fault = FrameView::Parse(arriving_->header_region, &arriving_->frame);
  if (fault == FrameFault::kNone) fault = CheckCodecs(arriving_->frame);
  if (fault != FrameFault::kNone) {
    Settle(OutcomeOf(fault), FrameFaultText(fault));
    return false;
  }
  const FrameHeader& header = arriving_->frame.header();
  KvShape full = arriving_->frame.shape();
  full.tokens = space_.shape.tokens;
  const char* wrong = nullptr;
  if (header.frame_bytes != arriving_->frame_bytes)
    wrong = "the frame's size differs from the announced frame_bytes";
  else if (header.space_digest != space_.digest)
    wrong =
        "the frame's space digest is another space's; register the manifest and build frames for "
        "its space";
  else if (header.manifest_digest != space_.manifest_digest)
    wrong = "the frame's manifest digest is another manifest's";
  else if (header.prefix_hash_bytes == 0)
    wrong = "the frame has no prefix hash; expected 1 to 32 bytes";
  else if (!(full == space_.shape))
    wrong = "the frame's shape differs from its layer group's in the manifest";
  else if (header.tokens > space_.shape.tokens)
    wrong = "the frame has more tokens than the manifest's block_tokens";
  else if (arriving_->frame.fidelity() < space_.codec.fidelity_floor)
    wrong = "the frame's fidelity is below the floor that the operator set for this model";
  if (wrong != nullptr) {
    Settle(PutOutcome::kInvalid, wrong);
    return false;
  }
  arriving_->encode = WouldEncode(arriving_->frame);
  return true;
}

bool IngestSession::FindParent() {
  const FrameHeader& header = arriving_->frame.header();
  if (header.parent_hash_bytes > 0) {
    const PrefixHash parent{header.parent_hash_bytes, header.parent_hash};
    arriving_->parent = blocks_.PinBlock(space_, parent);
    if (arriving_->parent.empty()) {
      Settle(PutOutcome::kParentAbsent);
      return false;
    }
  }
  std::optional<Fidelity> stored_fidelity;
  if (arriving_->encode) stored_fidelity = FidelityOf(recipe_.plan);
  const PutOutcome outcome = blocks_.Check(
      {space_, arriving_->frame, arriving_->retention, arriving_->parent, stored_fidelity});
  if (outcome == PutOutcome::kStored) return true;
  Settle(outcome);
  if (outcome == PutOutcome::kAlreadyPresent && await_durable_) {
    PinSet resident = blocks_.PinBlock(space_, {header.prefix_hash_bytes, header.prefix_hash});
    if (!resident.empty()) Persist(arriving_->index, std::move(resident));
  }
  return false;
}

bool IngestSession::MakeRoom() {
  if (arriving_->room) return true;
  std::string_view reason;
  arriving_->room =
      TakeRoom(arriving_->frame_bytes, arriving_->encode, arriving_->retention.priority, &reason);
  if (arriving_->room) return true;
  Settle(PutOutcome::kNoRoom, reason.empty() ? MessageOf(PutOutcome::kNoRoom) : reason);
  return false;
}

// The one copy of the payload: from the transport's buffer, which is nobody else's, into the slab.
void IngestSession::Land(std::span<const std::byte> piece) {
  while (!piece.empty() && !arriving_->settled) {
    const auto target = arriving_->room->spans[arriving_->span].subspan(arriving_->span_used);
    const size_t step = std::min({target.size(), piece.size(), kLandBytes});
    FaultAt("put.land");
    // What is to be encoded is read again soon.
    (arriving_->encode ? CopyBlock : StreamBlock)(target.data(), piece.data(), step);
    Verify(piece.first(step));
    piece = piece.subspan(step);
  }
}

// Takes in bytes that have been put where they belong: the front of the current span.
void IngestSession::Verify(std::span<const std::byte> landed) {
  arriving_->span_used += landed.size();
  if (arriving_->span_used == arriving_->room->spans[arriving_->span].size()) {
    ++arriving_->span;
    arriving_->span_used = 0;
  }
  const FrameFault fault = arriving_->verifier->Update(landed);
  if (fault != FrameFault::kNone) Settle(OutcomeOf(fault), FrameFaultText(fault));
}

void IngestSession::Complete() {
  ArrivingBlock& block = *arriving_;
  if (!block.settled) {
    const auto& verifier =
        block.room && block.room->verifier ? block.room->verifier : block.verifier;
    const FrameFault fault = verifier ? verifier->Finish() : FrameFault::kTooShort;
    if (fault == FrameFault::kNone) block.encode ? Encode() : TryStreams();
    if (fault != FrameFault::kNone) {
      Settle(OutcomeOf(fault), FrameFaultText(fault));
    } else if (!block.settled) {
      FaultAt("put.publish");
      auto published = blocks_.Publish({space_, block.frame, block.retention, block.parent},
                                       std::move(block.room->slab));
      FaultAt("put.published");
      if (!published.pin.empty()) last_ = std::move(published.pin);
      Settle(published.outcome);
      const bool resident = published.outcome == PutOutcome::kStored ||
                            published.outcome == PutOutcome::kAlreadyPresent;
      if (await_durable_ && resident) Persist(block.index, blocks_.PinAgain(last_));
    }
  }
  arriving_.reset();
}

void IngestSession::Settle(PutOutcome outcome) { Settle(outcome, MessageOf(outcome)); }

void IngestSession::Settle(PutOutcome outcome, std::string_view message) {
  ArrivingBlock& block = *arriving_;
  block.settled = true;
  // The reservation ends here, not when the rest of the frame has been skipped.
  block.room.reset();
  const bool stored = outcome == PutOutcome::kStored;
  const uint64_t frame_bytes = stored ? block.frame.header().frame_bytes : 0;
  results_[block.index] = {outcome, std::string(message), frame_bytes};
  metrics_.CountPutBlock(outcome, frame_bytes, stored ? block.frame.header().raw_bytes : 0);
}

// The block is to be durable; the batch goes on meanwhile.
void IngestSession::Persist(uint32_t index, PinSet block) {
  if (PlantedBug("put.durable_unwaited")) {
    results_[index].durable = true;
    return;
  }
  if (migrate_ == nullptr) {
    results_[index].message = "stored in memory, but not durable: the server has no SSD tier";
    return;
  }
  if (durability_ == nullptr) durability_ = std::make_shared<DurableResults>();
  durability_->Expect();
  migrate_->Persist(std::move(block), kDurablePatience,
                    [durability = durability_, index](const absl::Status& status) {
                      durability->Ended(index, status);
                    });
}

void IngestSession::Finish(std::function<void(std::vector<IngestResult>)> done) {
  FaultAt("put.finish");
  results_.resize(count_);
  for (IngestResult& result : results_) {
    if (result.outcome != PutOutcome::kIncomplete) continue;
    result.message = "the stream ended before this block was whole; put it again";
    metrics_.CountPutBlock(result.outcome, 0, 0);
  }
  if (!last_.empty()) blocks_.TouchAncestors(last_);
  last_.Reset();
  if (durability_ == nullptr) return done(std::move(results_));
  // The callbacks keep it; the caller may let the session go as soon as `done` is called.
  const std::shared_ptr<DurableResults> durability = durability_;
  durability->Finish(std::move(results_), std::move(done));
}

}  // namespace larder::server
