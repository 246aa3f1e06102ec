#include "kernels/codec/ggml_quantiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

using Batch = std::array<float, kGgmlBatch>;

size_t ElementBytes(ElementType type) { return type == ElementType::kF32 ? 4 : 2; }

// Calls `code(rows of groups, groups, first group of the call)` for `groups` groups, at most kGgmlBatch
// at a time, until it returns false. A row holds `groups_of_row` of them; `filler` stands for the
// groups that the last batch lacks.
template <typename Byte, typename Pointer, typename Code>
bool ForEachBatch(Pointer const* rows, size_t groups, size_t groups_of_row, size_t group_bytes,
                  Pointer filler, Code code) {
  std::array<Pointer, kGgmlBatch> batch;
  Byte* at = nullptr;
  size_t left = 0;  // of the row at `at`
  for (size_t begin = 0; begin < groups; begin += kGgmlBatch) {
    const size_t count = std::min(kGgmlBatch, groups - begin);
    for (size_t i = 0; i < count; ++i, --left, at += group_bytes) {
      if (left == 0) {
        at = static_cast<Byte*>(*rows++);
        left = groups_of_row;
      }
      batch[i] = at;
    }
    std::fill(batch.begin() + count, batch.end(), filler);
    if (!code(batch.data(), count, begin)) return false;
  }
  return true;
}

// The first value of a group whose magnitude is `magnitude`.
float FirstOf(float magnitude, ElementType type, const void* group) {
  for (size_t i = 0; i < kGgmlGroup; ++i) {
    const float value = LoadElement(type, group, i);
    if (std::fabs(value) == magnitude) return value;
  }
  return magnitude;
}

bool EncodeBatch(GgmlFormat format, Isa isa, const SourceElements& source, size_t groups,
                 uint8_t* out) {
  const GgmlOps& ops = GgmlOpsOf(isa);
  Batch lows, highs, scales, inverses;
  std::array<uint16_t, kGgmlBatch> stored, minima;
  if (!ops.ranges(format, source, lows.data(), highs.data())) return false;
  if (ops.scales(format, lows.data(), highs.data(), scales.data())) {
    for (size_t i = 0; i < kGgmlBatch; ++i) {
      if (highs[i] != -lows[i]) continue;
      scales[i] = FirstOf(highs[i], source.type, source.rows[i]) / ScaleDivisor(format);
    }
  }
  if (!ops.store_scales(scales.data(), stored.data(), inverses.data())) return false;
  if (format == GgmlFormat::kIq4Nl) {
    Batch factors;
    ops.fit_iq4_nl(source, groups, inverses.data(), factors.data());
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
  ops.quantise(format, source, groups, inverses.data(), lows.data(), out);
  return true;
}

// Room for whole groups of any type.
std::byte* Gathered(Workspace& workspace, size_t groups) {
  workspace.scratch.resize(std::max(workspace.scratch.size(), groups * kGgmlGroup));
  return reinterpret_cast<std::byte*>(workspace.scratch.data());
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

// Groups go on from one row to the next where head_dim is not a multiple of 32: such rows are gathered,
// one behind the other, and coded as one.
bool GgmlQuantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                               const SourceElements& source, std::byte* out) const {
  const auto format = static_cast<GgmlFormat>(context.params.variant);
  const size_t dim = context.shape.head_dim, element_bytes = ElementBytes(source.type);
  const size_t groups = (count * dim + kGgmlGroup - 1) / kGgmlGroup;
  auto* blocks = reinterpret_cast<uint8_t*>(out) + begin * dim / kGgmlGroup * BlockOf(format).bytes;
  const auto encode = [&](const void* const* rows, size_t some, size_t group) {
    return EncodeBatch(format, context.isa, {source.type, rows}, some,
                       blocks + group * BlockOf(format).bytes);
  };
  const auto code = [&](const void* const* rows, size_t groups_of_row) {
    static constexpr float kZeros[kGgmlGroup] = {};
    const void* const filler = kZeros;
    return ForEachBatch<const std::byte>(rows, groups, groups_of_row, kGgmlGroup * element_bytes,
                                         filler, encode);
  };
  if (dim % kGgmlGroup == 0) return code(source.rows, dim / kGgmlGroup);
  std::byte* gathered = Gathered(context.workspace, groups);
  for (uint32_t row = 0; row < count; ++row) {
    std::memcpy(gathered + row * dim * element_bytes, source.rows[row], dim * element_bytes);
  }
  std::memset(gathered + count * dim * element_bytes, 0,
              (groups * kGgmlGroup - count * dim) * element_bytes);
  const void* const row = gathered;
  return code(&row, groups);
}

void GgmlQuantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                               const std::byte* in, const TargetElements& target) const {
  const auto format = static_cast<GgmlFormat>(context.params.variant);
  const GgmlOps& ops = GgmlOpsOf(context.isa);
  const size_t dim = context.shape.head_dim, element_bytes = ElementBytes(target.type);
  const size_t groups = (count * dim + kGgmlGroup - 1) / kGgmlGroup;
  const auto* blocks =
      reinterpret_cast<const uint8_t*>(in) + begin * dim / kGgmlGroup * BlockOf(format).bytes;
  const auto decode = [&](void* const* rows, size_t some, size_t group) {
    ops.dequantise(format, blocks + group * BlockOf(format).bytes, some, {target.type, rows});
    return true;
  };
  const auto code = [&](void* const* rows, size_t groups_of_row) {
    void* const filler = nullptr;  // only the groups that there are get values
    ForEachBatch<std::byte>(rows, groups, groups_of_row, kGgmlGroup * element_bytes, filler,
                            decode);
  };
  if (dim % kGgmlGroup == 0) return code(target.rows, dim / kGgmlGroup);
  std::byte* gathered = Gathered(context.workspace, groups);
  void* const row = gathered;
  code(&row, groups);
  for (uint32_t i = 0; i < count; ++i) {
    std::memcpy(target.rows[i], gathered + i * dim * element_bytes, dim * element_bytes);
  }
}

}  // namespace larder
