// The oracle of ggml_ops_simd.cc: every function in its plainest form.
#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/codec/ggml_ops.h"
#include "kernels/codec/ggml_ops_internal.h"

namespace larder {
namespace {

float LoadAt(const SourceElements& source, size_t group, size_t at) {
  return LoadElement(source.type, source.rows[group], at);
}

bool Ranges(GgmlFormat format, const SourceElements& source, float* lows, float* highs) {
  for (size_t group = 0; group < kGgmlBatch; ++group) {
    const bool has_minimum = BlockOf(format).has_minimum;
    float low = has_minimum ? LoadAt(source, group, 0) : 0.0f, high = low;
    for (size_t i = 0; i < kGgmlGroup; ++i) {
      const float value = LoadAt(source, group, i);
      if ((BitsOf(value) & 0x7FFFFFFF) >= NotFiniteBits(source.type)) return false;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    if (format == GgmlFormat::kQ8_0) high = std::max(high, -low), low = 0;
    lows[group] = low + 0.0f;  // -0 becomes 0
    highs[group] = high + 0.0f;
  }
  return true;
}

bool Scales(GgmlFormat format, const float* lows, const float* highs, float* scales) {
  const float divisor = ScaleDivisor(format);
  bool tie = false;
  for (size_t i = 0; i < kGgmlBatch; ++i) {
    if (BlockOf(format).has_minimum) {
      scales[i] = (highs[i] - lows[i]) / divisor;
    } else if (format == GgmlFormat::kQ8_0) {
      scales[i] = highs[i] / divisor;
    } else {
      scales[i] = (highs[i] >= -lows[i] ? highs[i] : lows[i]) / divisor;
      tie |= highs[i] == -lows[i] && highs[i] != 0;
    }
  }
  return tie;
}

bool StoreScales(const float* scales, uint16_t* stored, float* inverses) {
  for (size_t i = 0; i < kGgmlBatch; ++i) {
    const float magnitude = FloatOfBits(BitsOf(scales[i]) & 0x7FFFFFFF);
    if (!(magnitude <= kFp16Max)) return false;
    stored[i] = Fp16OfFloat(scales[i]);
    inverses[i] = magnitude >= kGgmlScaleMin ? 1.0f / scales[i] : 0.0f;
  }
  return true;
}

void FitIq4Nl(const SourceElements& source, size_t groups, const float* inverses, float* factors) {
  for (size_t group = 0; group < groups; ++group) {
    std::array<float, kGgmlGroup> above, below;
    for (size_t i = 0; i < kGgmlGroup; ++i) {
      const float scaled = LoadAt(source, group, i) * inverses[group];
      const float value = Iq4NlValue(Iq4NlCode(scaled));
      const float weighted = scaled * scaled * value;
      above[i] = weighted * scaled;
      below[i] = weighted * value;
    }
    for (size_t half = 16; half > 0; half /= 2) {
      for (size_t lane = 0; lane < half; ++lane) {
        above[lane] += above[lane + half];
        below[lane] += below[lane + half];
      }
    }
    factors[group] = above[0] / below[0];
  }
}

void Quantise(GgmlFormat format, const SourceElements& source, size_t groups, const float* inverses,
              const float* lows, uint8_t* blocks) {
  const GgmlBlock& block = BlockOf(format);
  for (size_t group = 0; group < groups; ++group) {
    uint8_t* out = blocks + group * block.bytes + block.codes;
    uint32_t fifth = 0;
    for (size_t i = 0; i < kGgmlGroup; ++i) {
      const float value = LoadAt(source, group, i);
      const unsigned code = GgmlCodeOf(format, value, inverses[group], lows[group]);
      if (block.bits == 8) {
        out[i] = static_cast<uint8_t>(code);
      } else if (i < 16) {
        out[i] = code & 15;
      } else {
        out[i - 16] |= static_cast<uint8_t>((code & 15) << 4);
      }
      fifth |= (code >> 4 & 1) << i;
    }
    if (block.bits == 5) std::memcpy(out - 4, &fifth, 4);
  }
}

void Dequantise(GgmlFormat format, const uint8_t* blocks, size_t groups,
                const TargetElements& target) {
  const GgmlBlock& block = BlockOf(format);
  for (size_t group = 0; group < groups; ++group) {
    const uint8_t* in = blocks + group * block.bytes;
    uint16_t scale, minimum = 0;
    uint32_t fifth = 0;
    std::memcpy(&scale, in, 2);
    if (block.has_minimum) std::memcpy(&minimum, in + 2, 2);
    if (block.bits == 5) std::memcpy(&fifth, in + block.codes - 4, 4);
    const uint8_t* codes = in + block.codes;
    for (size_t i = 0; i < kGgmlGroup; ++i) {
      unsigned code = block.bits == 8 ? codes[i] : codes[i % 16] >> (i / 16 * 4) & 15;
      code |= (fifth >> i & 1) << 4;
      const float value = GgmlValueOf(format, code, FloatOfFp16(scale), FloatOfFp16(minimum));
      StoreElement(target.type, value, target.rows[group], i);
    }
  }
}

constexpr GgmlOps kScalarOps = {
    .ranges = Ranges,
    .scales = Scales,
    .store_scales = StoreScales,
    .fit_iq4_nl = FitIq4Nl,
    .quantise = Quantise,
    .dequantise = Dequantise,
};

}  // namespace

const GgmlOps& GgmlOpsOf(Isa isa) { return isa == Isa::kScalar ? kScalarOps : SimdGgmlOps(); }

}  // namespace larder
