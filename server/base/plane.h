// How payload travels between server and client, and how one transfer can end: named here because metrics
// count by both.
#pragma once

#include <cstdint>

namespace larder::server {

enum class PlaneKind : uint8_t { kInline = 0, kShm = 1, kUcx = 2 };
inline constexpr int kPlanes = 3;

enum class TransferEnd : uint8_t {
  kDone = 0,          // every byte has arrived
  kOverDeadline = 1,  // some may have
  kPeerGone = 2,      // the window was closed, or its client is dead
  kFailed = 3,        // the transport or the memory gave way
};
inline constexpr int kTransferEnds = 4;

}  // namespace larder::server
