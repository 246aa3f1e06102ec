// The oracle of affine_ops_simd.cc: every function in its plainest form.
#include <algorithm>
#include <cstring>

#include "kernels/codec/affine_codes.h"
#include "kernels/codec/affine_ops.h"
#include "kernels/codec/affine_ops_internal.h"

namespace larder {
namespace {

bool IsFinite(ElementType type, float value) {
  return (BitsOf(value) & 0x7FFFFFFF) < NotFiniteBits(type);
}

bool ColumnRanges(const SourceElements& source, size_t rows, size_t width, float* lows,
                  float* highs) {
  for (size_t i = 0; i < width; ++i) {
    float low = LoadElement(source.type, source.rows[0], i), high = low;
    for (size_t row = 0; row < rows; ++row) {
      const float value = LoadElement(source.type, source.rows[row], i);
      if (!IsFinite(source.type, value)) return false;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    lows[i] = low;
    highs[i] = high;
  }
  return true;
}

bool RowRanges(const SourceElements& source, size_t rows, size_t width, size_t group, float* lows,
               float* highs) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t begin = 0; begin < width; begin += group) {
      float low = LoadElement(source.type, source.rows[row], begin), high = low;
      for (size_t i = begin; i < std::min(begin + group, width); ++i) {
        const float value = LoadElement(source.type, source.rows[row], i);
        if (!IsFinite(source.type, value)) return false;
        low = std::min(low, value);
        high = std::max(high, value);
      }
      *lows++ = low;
      *highs++ = high;
    }
  }
  return true;
}

void ColumnMagnitudes(const SourceElements& source, size_t rows, size_t width, float* sums) {
  for (size_t i = 0; i < width; ++i) {
    sums[i] = 0;
    for (size_t row = 0; row < rows; ++row) {
      sums[i] += FloatOfBits(BitsOf(LoadElement(source.type, source.rows[row], i)) & 0x7FFFFFFF);
    }
  }
}

bool StoreScales(float* lows, float* highs, const float* levels, size_t count, uint16_t* scales,
                 uint16_t* minima) {
  for (size_t i = 0; i < count; ++i) {
    AffineStep step;
    if (!AffineStepOf(lows[i], highs[i], levels[i], &step)) return false;
    scales[i] = step.scale16;
    minima[i] = step.minimum16;
    lows[i] = step.minimum;
    highs[i] = step.inverse;
  }
  return true;
}

void AddBits(uint8_t* words, size_t word, uint32_t bits) {
  uint32_t old;
  std::memcpy(&old, words + word * 4, 4);
  old |= bits;
  std::memcpy(words + word * 4, &old, 4);
}

uint32_t WordAt(const uint8_t* words, size_t word) {
  uint32_t bits;
  std::memcpy(&bits, words + word * 4, 4);
  return bits;
}

void QuantiseColumns(const SourceElements& source, size_t rows, size_t width,
                     const AffineSteps& steps, unsigned bits, uint8_t* words, uint8_t* above) {
  const size_t bytes = ColumnWords(rows, bits) * width * 4;
  std::memset(words, 0, bytes);
  if (above != nullptr) std::memset(above, 0, bytes);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < width; ++i) {
      const float value = LoadElement(source.type, source.rows[row], i);
      const uint32_t code =
          AffineCodeOf(value, steps.minima[i], steps.inverses[i], steps.levels[i]);
      if (bits == 3) {
        for (size_t plane = 0; plane < 3; ++plane) {
          AddBits(words, (row / 32 * 3 + plane) * width + i, (code >> plane & 1) << (row % 32));
        }
        continue;
      }
      const size_t word = row * bits / 32 * width + i;
      const uint32_t mask = (1u << bits) - 1;
      AddBits(words, word, (code & mask) << (row * bits % 32));
      if (above != nullptr) AddBits(above, word, (code >> bits & mask) << (row * bits % 32));
    }
  }
}

uint32_t ColumnCode(const uint8_t* words, unsigned bits, size_t row, size_t width, size_t i) {
  if (bits != 3) {
    return WordAt(words, row * bits / 32 * width + i) >> (row * bits % 32) & ((1u << bits) - 1);
  }
  uint32_t code = 0;
  for (size_t plane = 0; plane < 3; ++plane) {
    code |= (WordAt(words, (row / 32 * 3 + plane) * width + i) >> (row % 32) & 1) << plane;
  }
  return code;
}

void DequantiseColumns(const uint8_t* words, const uint8_t* above, unsigned bits, size_t rows,
                       size_t width, const float* scales, const float* minima,
                       const TargetElements& target) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < width; ++i) {
      uint32_t code = ColumnCode(words, bits, row, width, i);
      if (above != nullptr) code |= ColumnCode(above, 2, row, width, i) << bits;
      const float value = static_cast<float>(code) * scales[i] + minima[i];
      StoreElement(target.type, value, target.rows[row], i);
    }
  }
}

void QuantiseRows(const SourceElements& source, size_t rows, size_t width, size_t group,
                  const AffineSteps& steps, uint8_t* codes) {
  const size_t groups = (width + group - 1) / group;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < width; ++i) {
      const float value = LoadElement(source.type, source.rows[row], i);
      const size_t at = row * groups + i / group;
      *codes++ = static_cast<uint8_t>(
          AffineCodeOf(value, steps.minima[at], steps.inverses[at], steps.levels[0]));
    }
  }
}

void DequantiseRows(const uint8_t* codes, size_t rows, size_t width, size_t group,
                    const float* scales, const float* minima, const TargetElements& target) {
  const size_t groups = (width + group - 1) / group;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < width; ++i) {
      const size_t at = row * groups + i / group;
      const float value = static_cast<float>(*codes++) * scales[at] + minima[at];
      StoreElement(target.type, value, target.rows[row], i);
    }
  }
}

constexpr AffineOps kScalarOps = {
    .column_ranges = ColumnRanges,
    .row_ranges = RowRanges,
    .column_magnitudes = ColumnMagnitudes,
    .store_scales = StoreScales,
    .quantise_columns = QuantiseColumns,
    .dequantise_columns = DequantiseColumns,
    .quantise_rows = QuantiseRows,
    .dequantise_rows = DequantiseRows,
};

}  // namespace

const AffineOps& AffineOpsOf(Isa isa, ElementType type) {
  return isa == Isa::kScalar ? kScalarOps : SimdAffineOps(type);
}

}  // namespace larder
