// What a frame's header says of the block's key and bytes.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/format/frame.h"
#include "proto/contract/block_key.h"

namespace larder::server {

// From a header in memory, which a fault may have damaged: sizes are not trusted.
inline PrefixHash HashFrom(uint8_t size, const std::array<uint8_t, 32>& bytes) {
  return size <= bytes.size() ? PrefixHash{size, bytes} : PrefixHash{};
}

inline PrefixHash HashOf(const FrameHeader& header) {
  return HashFrom(header.prefix_hash_bytes, header.prefix_hash);
}

inline PrefixHash ParentOf(const FrameHeader& header) {
  return HashFrom(header.parent_hash_bytes, header.parent_hash);
}

// Names the raw bytes that a frame stands for: the root of the raw frame it is or was made from; zero
// when whoever encoded it did not say.
inline Checksum128 OriginOf(const FrameHeader& header, bool raw) {
  return raw ? header.root : header.source_root;
}

// 32 bits of an origin, to tell other bytes apart without the frame at hand; 0: not known.
inline uint32_t OriginTag(const Checksum128& origin) { return static_cast<uint32_t>(origin.low); }

}  // namespace larder::server
