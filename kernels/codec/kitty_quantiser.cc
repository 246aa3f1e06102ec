#include "kernels/codec/kitty_quantiser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/codec/affine_ops.h"

namespace larder {
namespace {

// Where the parts of a page stand, in bytes.
struct PageLayout {
  PageLayout(const CodecParams& params, uint32_t page_tokens, uint32_t head_dim)
      : tokens(page_tokens),
        dim(head_dim),
        boosted(params.boosted),
        words(ColumnWords(page_tokens, 2)),
        map(dim * 4),
        low(map + dim),
        high(low + words * dim * 4),
        bytes(high + words * boosted * 4) {}

  size_t tokens, dim, boosted;
  size_t words;  // of a channel in one plane
  size_t map, low, high, bytes;
};

// Writes the map: slots for the channels with the largest sums, and the levels of all.
void Boost(const PageLayout& page, const float* sums, uint8_t* map, float* levels) {
  // Larger sums first, then lower channels: one number orders both, and no two are equal.
  std::array<uint64_t, kKittyHeadDimMax> ranks;
  for (size_t i = 0; i < page.dim; ++i) ranks[i] = uint64_t{~BitsOf(sums[i])} << 32 | i;
  std::nth_element(ranks.begin(), ranks.begin() + page.boosted - 1, ranks.begin() + page.dim);
  std::memset(map, static_cast<int>(page.boosted), page.dim);
  std::fill_n(levels, page.dim, 3.0f);
  for (size_t i = 0; i < page.boosted; ++i) map[ranks[i] & 0xFFFFFFFF] = 0;
  uint8_t slot = 0;
  for (size_t i = 0; i < page.dim; ++i) {
    if (map[i] == page.boosted) continue;
    map[i] = slot++;
    levels[i] = 15.0f;
  }
}

// Scratch of a page: three arrays of floats, and one plane of every channel.
struct Scratch {
  Scratch(Workspace& workspace, const PageLayout& page) {
    workspace.scratch.resize(std::max(workspace.scratch.size(), 3 * page.dim));
    first = workspace.scratch.data();
    second = first + page.dim;
    third = second + page.dim;
    workspace.codes.resize(std::max(workspace.codes.size(), page.words * page.dim * 4));
    plane = workspace.codes.data();
  }
  float* first;
  float* second;
  float* third;
  uint8_t* plane;
};

bool EncodePage(const QuantiserContext& context, const PageLayout& page,
                const SourceElements& source, uint8_t* out) {
  const AffineOps& ops = AffineOpsOf(context.isa, source.type);
  const Scratch scratch(context.workspace, page);
  float *lows = scratch.first, *highs = scratch.second, *levels = scratch.third;
  if (!ops.column_ranges(source, page.tokens, page.dim, lows, highs)) return false;
  uint8_t* map = out + page.map;
  // The sums go where the levels will be: Boost reads a sum before it writes any level.
  ops.column_magnitudes(source, page.tokens, page.dim, levels);
  Boost(page, levels, map, levels);
  auto* scales = reinterpret_cast<uint16_t*>(out);
  if (!ops.store_scales(lows, highs, levels, page.dim, scales, scales + page.dim)) return false;
  const AffineSteps steps{lows, highs, levels};
  ops.quantise_columns(source, page.tokens, page.dim, steps, 2, out + page.low, scratch.plane);
  for (size_t i = 0; i < page.dim; ++i) {
    if (map[i] == page.boosted) continue;
    for (size_t word = 0; word < page.words; ++word) {
      std::memcpy(out + page.high + (word * page.boosted + map[i]) * 4,
                  scratch.plane + (word * page.dim + i) * 4, 4);
    }
  }
  return true;
}

void DecodePage(const QuantiserContext& context, const PageLayout& page, const uint8_t* in,
                const TargetElements& target) {
  const Scratch scratch(context.workspace, page);
  const auto widen = VectorOpsOf(context.isa).widen_fp16;
  const auto* scales = reinterpret_cast<const uint16_t*>(in);
  widen(scales, scratch.first, page.dim);
  widen(scales + page.dim, scratch.second, page.dim);
  std::memset(scratch.plane, 0, page.words * page.dim * 4);
  const uint8_t* map = in + page.map;
  for (size_t i = 0; i < page.dim; ++i) {
    if (map[i] >= page.boosted) continue;
    for (size_t word = 0; word < page.words; ++word) {
      std::memcpy(scratch.plane + (word * page.dim + i) * 4,
                  in + page.high + (word * page.boosted + map[i]) * 4, 4);
    }
  }
  AffineOpsOf(context.isa, target.type)
      .dequantise_columns(in + page.low, scratch.plane, 2, page.tokens, page.dim, scratch.first,
                          scratch.second, target);
}

// Calls `code(page, first token, offset in the tile's bytes)` for the pages of a portion.
template <typename Code>
bool ForEachPage(const CodecParams& params, TileShape shape, uint32_t begin, uint32_t count,
                 Code code) {
  const size_t bytes = PageLayout(params, kKittyPageTokens, shape.head_dim).bytes;
  for (uint32_t at = 0; at < count; at += kKittyPageTokens) {
    const PageLayout page(params, std::min(kKittyPageTokens, count - at), shape.head_dim);
    if (!code(page, at, (begin + at) / kKittyPageTokens * bytes)) return false;
  }
  return true;
}

}  // namespace

bool KittyQuantiser::Accepts(const CodecParams& params, TileShape shape) const {
  return params.variant == 0 && params.bits == 2 && params.group == kKittyPageTokens &&
         params.boosted >= 1 && params.boosted <= kKittyBoostedMax &&
         params.boosted <= shape.head_dim && shape.head_dim <= kKittyHeadDimMax;
}

uint64_t KittyQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  const uint32_t rest = shape.tokens % kKittyPageTokens;
  return shape.tokens / kKittyPageTokens *
             uint64_t{PageLayout(params, kKittyPageTokens, shape.head_dim).bytes} +
         (rest == 0 ? 0 : PageLayout(params, rest, shape.head_dim).bytes);
}

bool KittyQuantiser::EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                const SourceElements& source, std::byte* out) const {
  const auto encode = [&](const PageLayout& page, uint32_t at, uint64_t offset) {
    return EncodePage(context, page, {source.type, source.rows + at},
                      reinterpret_cast<uint8_t*>(out) + offset);
  };
  return ForEachPage(context.params, context.shape, begin, count, encode);
}

void KittyQuantiser::DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                const std::byte* in, const TargetElements& target) const {
  const auto decode = [&](const PageLayout& page, uint32_t at, uint64_t offset) {
    DecodePage(context, page, reinterpret_cast<const uint8_t*>(in) + offset,
               {target.type, target.rows + at});
    return true;
  };
  ForEachPage(context.params, context.shape, begin, count, decode);
}

}  // namespace larder
