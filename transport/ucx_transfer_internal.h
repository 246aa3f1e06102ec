// Inside of UcxPeer: a transfer, and one message of it.
#pragma once

#include <map>
#include <optional>

#include "transport/ucx_peer.h"

namespace larder::transport {

struct UcxPeer::Transfer {
  Kind kind;
  uint64_t tag;
  UcxSpans spans;
  Done done;
  UcxTime deadline = UcxTime::max();
  Progress progress;
  uint64_t offset = 0;  // pull, offer: of the spans' first byte

  uint64_t number = 0;
  uint64_t bytes = 0;        // of the spans
  uint64_t block_bytes = 0;  // expected: told by the first piece
  uint64_t begun = 0;        // push, pull: the first bytes whose pieces have begun
  uint64_t moved = 0;
  uint64_t prefix = 0;                   // moved without a gap from the start
  std::map<uint64_t, uint64_t> islands;  // moved beyond that: offset and bytes
  std::map<uint64_t, uint64_t> asked;    // pull: pieces that are not answered yet
  int under_way = 0;                     // pieces that UCX may touch
  bool timed = false;                    // counted in UcxMailbox::timed
  bool finished = false;
  std::optional<UcxEnd> end;

  bool complete() const { return moved == (kind == Kind::kExpect ? block_bytes : bytes); }
};

// One message on its way, in either direction: alive until UCX has ended with it.
struct UcxPeer::Piece {
  std::shared_ptr<UcxPeer> peer;
  TransferPtr transfer;  // null for a message without bytes
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::vector<ucp_dt_iov_t> parts;
  std::byte* landing = nullptr;  // of a pull by rendezvous: where the bytes arrive first
  union {
    UcxHello hello;
    UcxPush push;
    UcxPull pull;
    UcxAnswer answer;
  } head{};
};

}  // namespace larder::transport
