// Encoding on ingest, and what ingest asks of frames that a client encoded.
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/fault_point.h"
#include "server/store/ingest.h"

namespace larder::server {

// The verified raw frame in staging becomes an encoded one in a slab of its size.
void IngestSession::Encode() {
  const ArrivingBlock& block = *arriving_;
  const FrameHeader raw_header = block.frame.header();
  // The raw block is the payload without its padding.
  std::byte* raw = block.room->staging.get() + raw_header.header_bytes;
  size_t raw_bytes = 0;
  for (const StreamEntry& stream : block.frame.streams()) {
    std::memmove(raw + raw_bytes, block.room->staging.get() + stream.offset, stream.bytes);
    raw_bytes += stream.bytes;
  }
  const auto start = std::chrono::steady_clock::now();
  FaultAt("put.encode");
  const FrameIdentity identity = block.frame.identity();
  const KvShape shape = block.frame.shape();
  // Either holds the payload until it has been copied.
  std::optional<DeviceEncoder::Encoded> on_device =
      device_ == nullptr
          ? std::nullopt
          : device_->Encode({recipe_, identity, shape, {raw, raw_bytes}, raw_header.root});
  std::optional<CoderPool::Loan> coder;
  EncodedParts encoded;
  if (on_device) {
    encoded = std::move(on_device->parts);
  } else {
    coder.emplace(coders_.Take());
    encoded = (*coder)->EncodeParts(recipe_, identity, shape, {raw, raw_bytes}, raw_header.root);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  metrics_.CountEncode(encoded.coded_streams, encoded.fallback_streams, seconds.count());
  StoreEncoded(encoded);
}

void IngestSession::StoreEncoded(const EncodedParts& encoded) {
  ArrivingBlock& block = *arriving_;
  if (encoded.header.empty() ||
      FrameView::Parse(encoded.header, &block.frame) != FrameFault::kNone) {
    Settle(PutOutcome::kInvalid, "the block does not fit a frame in its encoded form");
    return;
  }
  block.room->slab = blocks_.Reserve(space_, encoded.header.size() + encoded.payload.size(),
                                     block.retention.priority);
  if (!block.room->slab) {
    Settle(PutOutcome::kNoRoom);
    return;
  }
  // The one copy of the encoded bytes: how many there are was not known before.
  CopyInto(block.room->slab.spans(), encoded.header);
  CopyInto(Behind(block.room->slab.spans(), encoded.header.size()), encoded.payload);
}

// Checksums say that a client's frame arrived as it was sent, not that its streams decode: those of codecs
// whose size varies are tried, so that no reader ever meets one that does not.
void IngestSession::TryStreams() {
  const ArrivingBlock& block = *arriving_;
  if (!HasVaryingStreams(block.frame)) return;
  const CoderPool::Loan coder = coders_.Take();
  std::vector<std::byte> gathered;
  for (size_t i = 0; i < block.frame.streams().size(); ++i) {
    const StreamEntry& stream = block.frame.streams()[i];
    gathered.resize(stream.bytes);
    CopyOut(Behind(block.room->spans, stream.offset), gathered);
    if (coder->IsWellFormed(block.frame, i, gathered)) continue;
    Settle(PutOutcome::kCorrupt, absl::StrCat("stream ", i, " does not decode; encode it again"));
    return;
  }
}

}  // namespace larder::server
