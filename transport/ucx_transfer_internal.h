// Inside of UcxPeer: a transfer, and one message that is sent for it.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "transport/ucx_peer.h"

namespace larder::transport {

struct UcxPeer::Transfer {
  Kind kind;
  uint64_t tag;
  UcxSpans spans;
  Done done;
  UcxTime deadline = UcxTime::max();
  Arrive arrive;
  uint64_t offset = 0;  // pull, offer: of the spans' first byte
  Landed landed = nullptr;

  uint64_t number = 0;
  uint64_t bytes = 0;        // of the spans; expected: at most
  uint64_t block_bytes = 0;  // expected: told by the first piece
  uint64_t begun = 0;        // push, pull: the first bytes whose pieces have begun
  uint64_t moved = 0;
  std::map<uint64_t, uint64_t> asked;  // pull: what is not answered yet, offset and bytes
  int under_way = 0;                   // messages that touch its memory
  bool timed = false;                  // counted in UcxMailbox::timed
  bool finished = false;
  std::optional<UcxEnd> end;

  bool complete() const { return moved == (kind == Kind::kExpect ? block_bytes : bytes); }
};

// A message that is being sent: alive until UCX has ended with it.
struct UcxPeer::Piece {
  unsigned message;
  size_t head_bytes;
  TransferPtr transfer;  // null for a message without bytes of a block
  uint64_t bytes = 0;
  std::vector<ucp_dt_iov_t> parts;
  std::string text;               // of a kUcxText; `parts` lead there
  std::shared_ptr<UcxPeer> peer;  // from the moment UCX has it
  union {
    UcxHello hello;
    UcxPush push;
    UcxPull pull;
    UcxAnswer answer;
    UcxText text;
  } head{};
};

}  // namespace larder::transport
