// Codes of 1 to 8 bits, one per byte, to packed bits and back; scalar and SIMD forms give the same
// bytes.
//
// 1, 2, 4 and 8 bits: little-endian within bytes, code i at bit i * bits. Other widths: per 32 codes
// one little-endian word per bit, lowest bit first (3 bits: 3 words), so that no code straddles a
// word; `count` is then a multiple of 32. Else `count` is a multiple of 16. Codes are below 2^bits.
// Pointers need no alignment. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/vector_ops.h"

namespace larder {

struct PackingOps {
  void (*pack)(const uint8_t* codes, unsigned bits, uint8_t* out, size_t count);
  void (*unpack)(const uint8_t* packed, unsigned bits, uint8_t* codes, size_t count);
};

const PackingOps& PackingOpsOf(Isa isa);

// Bytes of `count` packed codes.
constexpr size_t PackedBytes(size_t count, unsigned bits) { return count * bits / 8; }

}  // namespace larder
