// Rows of values where they stand: fp32 of a transform, or the caller's bf16 or fp16. Kernels that
// convert as they load and store spare a pass over memory.
//
// Values only. The elements of a row are contiguous and need no alignment. std-only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/number_formats.h"

namespace larder {

enum class ElementType : uint8_t { kF32 = 0, kBf16 = 1, kFp16 = 2 };

inline constexpr uint32_t kElementRowsMax = 256;  // that are handed over in one call

struct SourceElements {
  ElementType type = ElementType::kF32;
  const void* const* rows = nullptr;
};

struct TargetElements {
  ElementType type = ElementType::kF32;
  void* const* rows = nullptr;
};

// The plain form of the conversions. Infinities and NaN of fp16 read as 65536 and more.
inline float LoadElement(ElementType type, const void* row, size_t at) {
  if (type == ElementType::kF32) return static_cast<const float*>(row)[at];
  const uint16_t bits = static_cast<const uint16_t*>(row)[at];
  return type == ElementType::kBf16 ? FloatOfBf16(bits) : FloatOfFp16(bits);
}

inline void StoreElement(ElementType type, float value, void* row, size_t at) {
  if (type == ElementType::kF32) {
    static_cast<float*>(row)[at] = value;
  } else {
    static_cast<uint16_t*>(row)[at] =
        type == ElementType::kBf16 ? Bf16OfFloat(value) : Fp16OfFloat(value);
  }
}

// Magnitude bits of loaded values from here on are not finite numbers of the type.
constexpr uint32_t NotFiniteBits(ElementType type) {
  return type == ElementType::kFp16 ? 0x47800000u : 0x7F800000u;
}

}  // namespace larder
