// What ingest asks of frames that a client encoded.
#include "absl/strings/str_cat.h"
#include "server/store/ingest.h"

namespace larder::server {

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
