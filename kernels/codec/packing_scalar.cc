// The oracle of packing_simd.cc.
#include <bit>
#include <cstring>

#include "kernels/codec/packing.h"
#include "kernels/codec/packing_internal.h"

namespace larder {
namespace {

void Pack(const uint8_t* codes, unsigned bits, uint8_t* out, size_t count) {
  std::memset(out, 0, PackedBytes(count, bits));
  for (size_t i = 0; i < count; ++i) {
    if (std::has_single_bit(bits)) {
      out[i * bits / 8] |= static_cast<uint8_t>(codes[i] << (i * bits % 8));
      continue;
    }
    for (unsigned bit = 0; bit < bits; ++bit) {
      const size_t plane = (i / 32 * bits + bit) * 4;
      out[plane + i % 32 / 8] |= static_cast<uint8_t>(((codes[i] >> bit) & 1) << (i % 8));
    }
  }
}

void Unpack(const uint8_t* packed, unsigned bits, uint8_t* codes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::has_single_bit(bits)) {
      const unsigned mask = (1u << bits) - 1;
      codes[i] = static_cast<uint8_t>((packed[i * bits / 8] >> (i * bits % 8)) & mask);
      continue;
    }
    unsigned code = 0;
    for (unsigned bit = 0; bit < bits; ++bit) {
      const size_t plane = (i / 32 * bits + bit) * 4;
      code |= ((packed[plane + i % 32 / 8] >> (i % 8)) & 1u) << bit;
    }
    codes[i] = static_cast<uint8_t>(code);
  }
}

constexpr PackingOps kScalarOps = {.pack = Pack, .unpack = Unpack};

}  // namespace

const PackingOps& PackingOpsOf(Isa isa) {
  return isa == Isa::kScalar ? kScalarOps : SimdPackingOps();
}

}  // namespace larder
