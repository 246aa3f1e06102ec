// What the two ends of the plane "ucx" send each other as UCX active messages: ids and headers. FORMAT.md
// beside this file has the grammar. Plain values, little-endian; every field is untrusted where it arrives.
//
// The server moves all blocks: it pushes a block to a client, or asks for a piece of one (pull) and gets it as
// an answer. A client acts only on tags that it expects or offers at that moment, the server only on numbers of
// pulls that run, so a late message of a transfer that has ended finds nothing and is dropped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace larder::transport {

inline constexpr uint32_t kUcxMagic = 0x5844524Cu;  // "LRDX"
inline constexpr uint32_t kUcxVersion = 3;
inline constexpr size_t kUcxWindowIdBytes = 16;
// Bytes of a block in one message, at most: while the receiver copies and verifies them they are in its second-level
// cache. 240 KiB cost about as much, 120 KiB a tenth more, 60 KiB a fifth (eager messages of tests/bench/bare_ucx).
inline constexpr uint64_t kUcxMessageBytes = 512 << 10;
// What a pull asks for at most. It is answered in several messages.
inline constexpr uint64_t kUcxPullBytes = 2 * kUcxMessageBytes;

enum UcxMessage : unsigned {
  kUcxHello = 1,    // client: which window this connection is
  kUcxWelcome = 2,  // server: whether it is
  kUcxPush = 3,     // server: bytes of a block
  kUcxPull = 4,     // server: asks for bytes of a block
  kUcxAnswer = 5,   // client: some of them
  kUcxText = 6,     // both: a call, or the answer of one
};

struct UcxHello {
  uint32_t magic = kUcxMagic;
  uint32_t version = kUcxVersion;
  std::array<char, kUcxWindowIdBytes> window_id{};
};
static_assert(sizeof(UcxHello) == 24);

struct UcxWelcome {
  uint32_t magic = kUcxMagic;
  uint32_t code = 0;  // of absl::StatusCode
};
static_assert(sizeof(UcxWelcome) == 8);

// Followed by the bytes.
struct UcxPush {
  uint64_t tag = 0;          // the client's for this block
  uint64_t offset = 0;       // of these bytes in the block
  uint64_t block_bytes = 0;  // the same in every message
};
static_assert(sizeof(UcxPush) == 24);

struct UcxPull {
  uint64_t tag = 0;     // the client's for this block
  uint64_t pull = 0;    // the server's, to be repeated in the answer
  uint64_t offset = 0;  // in the block
  uint64_t bytes = 0;   // 1 to kUcxPullBytes
};
static_assert(sizeof(UcxPull) == 32);

// Followed by the bytes; by none when the client does not offer them.
struct UcxAnswer {
  uint64_t pull = 0;
  uint64_t offset = 0;
};
static_assert(sizeof(UcxAnswer) == 16);

// Followed by them; the other side makes what it wants of the text. At most kUcxTextBytesMax.
struct UcxText {
  uint64_t bytes = 0;
};
static_assert(sizeof(UcxText) == 8);
inline constexpr uint64_t kUcxTextBytesMax = 256 << 10;

}  // namespace larder::transport
