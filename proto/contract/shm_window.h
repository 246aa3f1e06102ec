// What both ends of the plane "shm" agree on beside the protocol buffers: how a window of shared memory is
// opened over the server's local socket, and the progress slots inside a window. FORMAT.md has the grammar.
// Plain values, host-endian (one host); every field that comes from the other side is untrusted.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "proto/contract/limits.h"

namespace larder {

inline constexpr uint32_t kShmMagic = 0x5744524Cu;  // "LRDW"
inline constexpr uint32_t kShmVersion = 2;
inline constexpr size_t kWindowIdBytes = 16;
// The seals that make a client's memory safe to map: its size can not change any more.
// (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL of fcntl(2), which this header must not include.)
inline constexpr int kShmSeals = 0x0002 | 0x0004 | 0x0001;

// Client to server, one message of a SOCK_SEQPACKET socket, with the memory's descriptor as SCM_RIGHTS.
struct ShmHello {
  uint32_t magic = kShmMagic;
  uint32_t version = kShmVersion;
  uint64_t window_bytes = 0;
  uint32_t client_id_bytes = 0;
  uint32_t reserved = 0;
  std::array<char, kClientIdBytesMax> client_id{};  // as in "larder-client"
};
static_assert(sizeof(ShmHello) == 88);

// Server to client, one message. The window lives as long as this connection; from here on it carries calls, a WindowCall
// or WindowReply (larder/v1/window.proto) each message.
struct ShmReply {
  uint32_t magic = kShmMagic;
  uint32_t code = 0;  // of absl::StatusCode; 0: open
  std::array<char, kWindowIdBytes> window_id{};
  std::array<char, 232> text{};  // why not, NUL-terminated
};
static_assert(sizeof(ShmReply) == 256);

// How far one block of a GetToWindow has come. The client zeroes the slots of a call before it sends it; the
// server only stores. Wait on `state` with a shared futex; `waiters` must be non-zero meanwhile.
struct ProgressSlot {
  // kEnded, kBegun, and in the low bits how many units of the frame stand in the window.
  std::atomic<uint32_t> state;
  std::atomic<uint32_t> waiters;
  std::atomic<uint64_t> frame_bytes;  // valid once kBegun is set
  std::array<std::byte, 48> unused;

  // The server will not touch the block's range again. Without kBegun: no hit; the answer says why.
  static constexpr uint32_t kEnded = 1u << 31;
  static constexpr uint32_t kBegun = 1u << 30;
  static constexpr uint32_t kUnitsMask = kBegun - 1;
  static constexpr uint64_t kUnitBytes = 64;  // frames are multiples of it, streams begin at it
};
static_assert(sizeof(ProgressSlot) == 64);
static_assert(std::atomic<uint32_t>::is_always_lock_free &&
              std::atomic<uint64_t>::is_always_lock_free);

}  // namespace larder
