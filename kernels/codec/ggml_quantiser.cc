#include "kernels/codec/ggml_quantiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

using Batch = std::array<float, kGgmlBatch>;

const void* Advance(const void* at, size_t bytes) {
  return static_cast<const std::byte*>(at) + bytes;
}
void* Advance(void* at, size_t bytes) { return static_cast<std::byte*>(at) + bytes; }

// Calls `code(halves, groups, first group of the tile)` for rows [begin, begin + count), at most
// kGgmlBatch groups at a time, until it returns false. `filler` is the half that the last group may
// lack.
template <typename Pointer, typename Code>
bool ForEachBatch(uint32_t begin, uint32_t count, TileShape shape, ElementType type,
                  Pointer const* rows, Pointer filler, Code code) {
  const size_t half_bytes = kGgmlGroup / 2 * (type == ElementType::kF32 ? 4 : 2);
  const uint32_t halves_of_row = shape.head_dim / 16;
  std::array<Pointer, 2 * kGgmlBatch> halves;
  size_t filled = 0;
  size_t group = size_t{begin} * shape.head_dim / kGgmlGroup;
  for (uint32_t row = 0; row < count; ++row) {
    Pointer at = rows[row];
    for (uint32_t left = halves_of_row; left > 0;) {
      const size_t take = std::min<size_t>(left, halves.size() - filled);
      for (size_t i = 0; i < take; ++i) halves[filled + i] = Advance(at, i * half_bytes);
      at = Advance(at, take * half_bytes);
      left -= static_cast<uint32_t>(take);
      filled += take;
      if (filled < halves.size()) continue;
      if (!code(halves.data(), kGgmlBatch, group)) return false;
      group += kGgmlBatch;
      filled = 0;
    }
  }
  const size_t groups = (filled + 1) / 2;
  std::fill(halves.begin() + filled, halves.end(), filler);
  return groups == 0 || code(halves.data(), groups, group);
}

// The first value of a group whose magnitude is `magnitude`.
float FirstOf(float magnitude, ElementType type, const void* const* halves) {
  for (size_t i = 0; i < kGgmlGroup; ++i) {
    const float value = LoadElement(type, halves[i / 16], i % 16);
    if (std::fabs(value) == magnitude) return value;
  }
  return magnitude;
}

bool EncodeBatch(GgmlFormat format, Isa isa, const SourceElements& halves, size_t groups,
                 uint8_t* out) {
  const GgmlOps& ops = GgmlOpsOf(isa);
  Batch lows, highs, scales, inverses;
  std::array<uint16_t, kGgmlBatch> stored, minima;
  if (!ops.ranges(halves, lows.data(), highs.data())) return false;
  if (ops.scales(format, lows.data(), highs.data(), scales.data())) {
    for (size_t i = 0; i < kGgmlBatch; ++i) {
      if (highs[i] != -lows[i]) continue;
      scales[i] = FirstOf(highs[i], halves.type, halves.rows + 2 * i) / ScaleDivisor(format);
    }
  }
  if (!ops.store_scales(scales.data(), stored.data(), inverses.data())) return false;
  if (format == GgmlFormat::kIq4Nl) {
    Batch factors;
    ops.fit_iq4_nl(halves, groups, inverses.data(), factors.data());
    for (size_t i = 0; i < groups; ++i) {
      if (inverses[i] != 0) scales[i] *= factors[i];
    }
    if (!ops.store_scales(scales.data(), stored.data(), inverses.data())) return false;
  }
  const GgmlBlock& block = BlockOf(format);
  for (size_t i = 0; i < groups; ++i) std::memcpy(out + i * block.bytes, &stored[i], 2);
  if (block.has_minimum) {
    Batch unused;
    if (!ops.store_scales(lows.data(), minima.data(), unused.data())) return false;
    for (size_t i = 0; i < groups; ++i) std::memcpy(out + i * block.bytes + 2, &minima[i], 2);
  }
  ops.quantise(format, halves, groups, inverses.data(), lows.data(), out);
  return true;
}

}  // namespace

bool GgmlQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return params.variant < kGgmlFormats &&
         params.bits == BlockOf(static_cast<GgmlFormat>(params.variant)).bits &&
         params.group == 0 && params.boosted == 0;
}

uint64_t GgmlQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  const uint64_t groups = (shape.elements() + kGgmlGroup - 1) / kGgmlGroup;
  return groups * BlockOf(static_cast<GgmlFormat>(params.variant)).bytes;
}

uint32_t GgmlQuantiser::RowsTogether(const CodecParams&, TileShape shape) const {
  return shape.head_dim % kGgmlGroup == 0 ? 1 : 2;
}

bool GgmlQuantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                               const SourceElements& source, std::byte* out) const {
  const auto format = static_cast<GgmlFormat>(context.params.variant);
  static constexpr float kZeros[kGgmlGroup / 2] = {};
  const void* const filler = kZeros;
  const auto encode = [&](const void* const* halves, size_t groups, size_t group) {
    auto* blocks = reinterpret_cast<uint8_t*>(out) + group * BlockOf(format).bytes;
    return EncodeBatch(format, context.isa, {source.type, halves}, groups, blocks);
  };
  return ForEachBatch(begin, count, context.shape, source.type, source.rows, filler, encode);
}

void GgmlQuantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                               const std::byte* in, const TargetElements& target) const {
  const auto format = static_cast<GgmlFormat>(context.params.variant);
  const GgmlOps& ops = GgmlOpsOf(context.isa);
  float unused[kGgmlGroup / 2];
  void* const filler = unused;
  const auto decode = [&](void* const* halves, size_t groups, size_t group) {
    const auto* blocks = reinterpret_cast<const uint8_t*>(in) + group * BlockOf(format).bytes;
    ops.dequantise(format, blocks, groups, {target.type, halves});
    return true;
  };
  ForEachBatch(begin, count, context.shape, target.type, target.rows, filler, decode);
}

}  // namespace larder
