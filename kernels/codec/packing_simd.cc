// The SIMD twin of packing_scalar.cc, compiled once per instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/codec/packing_simd.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"
//
#include <cstring>

#include "kernels/codec/packing.h"
#include "kernels/codec/packing_internal.h"

HWY_BEFORE_NAMESPACE();
namespace larder {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR  // no vectors: the plain form is the best one

const PackingOps& TargetPackingOps() { return PackingOpsOf(Isa::kScalar); }

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Planes: 32 codes become `bits` words, each with one bit of every code.
void PackPlanes(const uint8_t* codes, unsigned bits, uint8_t* out, size_t count) {
  const hn::CappedTag<uint8_t, 32> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; i += 32) {
    for (unsigned bit = 0; bit < bits; ++bit) {
      const auto mask = hn::Set(d, static_cast<uint8_t>(1u << bit));
      uint32_t word = 0;
      for (size_t at = 0; at < 32; at += lanes) {
        HWY_ALIGN uint8_t each[8] = {};
        const auto set = hn::Ne(hn::And(hn::LoadU(d, codes + i + at), mask), hn::Zero(d));
        hn::StoreMaskBits(d, set, each);
        uint32_t part;
        std::memcpy(&part, each, 4);
        word |= part << at;
      }
      std::memcpy(out + (i / 32 * bits + bit) * 4, &word, 4);
    }
  }
}

void UnpackPlanes(const uint8_t* packed, unsigned bits, uint8_t* codes, size_t count) {
  const hn::CappedTag<uint8_t, 32> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; i += 32) {
    for (size_t at = 0; at < 32; at += lanes) {
      auto value = hn::Zero(d);
      for (unsigned bit = 0; bit < bits; ++bit) {
        uint32_t word;
        std::memcpy(&word, packed + (i / 32 * bits + bit) * 4, 4);
        HWY_ALIGN uint8_t each[8] = {};
        word >>= at;
        std::memcpy(each, &word, 4);
        const auto set = hn::LoadMaskBits(d, each);
        value = hn::Or(value, hn::IfThenElseZero(set, hn::Set(d, static_cast<uint8_t>(1u << bit))));
      }
      hn::StoreU(value, d, codes + i + at);
    }
  }
}

// 4 bits: the codes of a pair of bytes meet in the lower one.
void Pack4(const uint8_t* codes, uint8_t* out, size_t count) {
  const hn::CappedTag<uint16_t, 8> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  for (size_t i = 0; i < count; i += 2 * hn::Lanes(d)) {
    const auto pair = hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, decltype(d)>(), codes + i));
    hn::StoreU(hn::TruncateTo(d8, hn::Or(pair, hn::ShiftRight<4>(pair))), d8, out + i / 2);
  }
}

void Unpack4(const uint8_t* packed, uint8_t* codes, size_t count) {
  const hn::CappedTag<uint16_t, 8> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const hn::Repartition<uint8_t, decltype(d)> wide8;
  for (size_t i = 0; i < count; i += 2 * hn::Lanes(d)) {
    const auto both = hn::PromoteTo(d, hn::LoadU(d8, packed + i / 2));
    const auto spread = hn::Or(both, hn::ShiftLeft<4>(both));
    hn::StoreU(hn::BitCast(wide8, hn::And(spread, hn::Set(d, uint16_t{0x0F0F}))), wide8, codes + i);
  }
}

// 2 bits: the codes of four bytes meet in the lowest one.
void Pack2(const uint8_t* codes, uint8_t* out, size_t count) {
  const hn::CappedTag<uint32_t, 4> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  for (size_t i = 0; i < count; i += 4 * hn::Lanes(d)) {
    const auto four = hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, decltype(d)>(), codes + i));
    const auto two = hn::Or(four, hn::ShiftRight<6>(four));
    hn::StoreU(hn::TruncateTo(d8, hn::Or(two, hn::ShiftRight<12>(two))), d8, out + i / 4);
  }
}

void Unpack2(const uint8_t* packed, uint8_t* codes, size_t count) {
  const hn::CappedTag<uint32_t, 4> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const hn::Repartition<uint8_t, decltype(d)> wide8;
  for (size_t i = 0; i < count; i += 4 * hn::Lanes(d)) {
    const auto four = hn::PromoteTo(d, hn::LoadU(d8, packed + i / 4));
    const auto two = hn::Or(four, hn::ShiftLeft<12>(four));
    const auto spread = hn::Or(two, hn::ShiftLeft<6>(two));
    hn::StoreU(hn::BitCast(wide8, hn::And(spread, hn::Set(d, 0x03030303u))), wide8, codes + i);
  }
}

void Pack1(const uint8_t* codes, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    unsigned byte = 0;
    for (unsigned bit = 0; bit < 8; ++bit) byte |= static_cast<unsigned>(codes[i + bit]) << bit;
    out[i / 8] = static_cast<uint8_t>(byte);
  }
}

void Unpack1(const uint8_t* packed, uint8_t* codes, size_t count) {
  for (size_t i = 0; i < count; ++i) codes[i] = (packed[i / 8] >> (i % 8)) & 1;
}

void Pack(const uint8_t* codes, unsigned bits, uint8_t* out, size_t count) {
  if (bits == 8) {
    std::memcpy(out, codes, count);
  } else if (bits == 4) {
    Pack4(codes, out, count);
  } else if (bits == 2) {
    Pack2(codes, out, count);
  } else if (bits == 1 && count % 32 != 0) {
    Pack1(codes, out, count);
  } else {
    PackPlanes(codes, bits, out, count);
  }
}

void Unpack(const uint8_t* packed, unsigned bits, uint8_t* codes, size_t count) {
  if (bits == 8) {
    std::memcpy(codes, packed, count);
  } else if (bits == 4) {
    Unpack4(packed, codes, count);
  } else if (bits == 2) {
    Unpack2(packed, codes, count);
  } else if (bits == 1 && count % 32 != 0) {
    Unpack1(packed, codes, count);
  } else {
    UnpackPlanes(packed, bits, codes, count);
  }
}

}  // namespace

const PackingOps& TargetPackingOps() {
  static constexpr PackingOps kOps = {.pack = Pack, .unpack = Unpack};
  return kOps;
}

#endif
}  // namespace HWY_NAMESPACE
}  // namespace larder
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace larder {

HWY_EXPORT(TargetPackingOps);

const PackingOps& SimdPackingOps() { return HWY_DYNAMIC_DISPATCH(TargetPackingOps)(); }

}  // namespace larder
#endif
