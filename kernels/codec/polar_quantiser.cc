#include "kernels/codec/polar_quantiser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/packing.h"
#include "kernels/codec/polar_ops.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr unsigned kLevels = kPolarLevels;
constexpr size_t kBlock = 16;

// Bins of level 1 have equal width. Those above are Lloyd-Max for the density
// sin(2 psi)^(2^(level - 1) - 1) of the angle between two radii of Gaussian halves.
constexpr AngleBook kCircle2 = MakeAngleBook(true, 2, {1.0f}, {0.923879533f, 0.382683432f});
constexpr AngleBook kCircle4 =
    MakeAngleBook(true, 4, {0.414213562f, 1.0f, 2.41421356f},
                  {0.98078528f, 0.831469612f, 0.555570233f, 0.195090322f});
constexpr AngleBook kCircle8 = MakeAngleBook(
    true, 8,
    {0.198912367f, 0.414213562f, 0.668178638f, 1.0f, 1.49660576f, 2.41421356f, 5.02733949f},
    {0.995184727f, 0.956940336f, 0.881921264f, 0.773010453f, 0.634393284f, 0.471396737f,
     0.290284677f, 0.0980171403f});
constexpr AngleBook kQuadrant4[] = {
    MakeAngleBook(false, 4, {0.510318356f, 1.0f, 1.9595611f},
                  {0.95240794f, 0.805676176f, 0.592356226f, 0.304826369f}),
    MakeAngleBook(false, 4, {0.613541933f, 1.0f, 1.62988045f},
                  {0.910522747f, 0.781091117f, 0.624417062f, 0.413458978f}),
    MakeAngleBook(false, 4, {0.706480026f, 1.0f, 1.41546818f},
                  {0.865717582f, 0.761021911f, 0.648726175f, 0.500532784f}),
};
constexpr AngleBook kQuadrant8[] = {
    MakeAngleBook(
        false, 8,
        {0.292132052f, 0.500597657f, 0.725662726f, 1.0f, 1.37805066f, 1.99761222f, 3.42310949f},
        {0.98229586f, 0.928666007f, 0.853435344f, 0.760164567f, 0.649730583f, 0.521198727f,
         0.370917035f, 0.187336177f}),
    MakeAngleBook(
        false, 8,
        {0.411459506f, 0.598915576f, 0.786422949f, 1.0f, 1.27158039f, 1.66968441f, 2.43037282f},
        {0.953088222f, 0.890125635f, 0.821894218f, 0.747340082f, 0.664441721f, 0.569640145f,
         0.455715212f, 0.302692652f}),
    MakeAngleBook(
        false, 8,
        {0.534295092f, 0.691832983f, 0.840296515f, 1.0f, 1.19005611f, 1.44543557f, 1.8716249f},
        {0.910724577f, 0.849557579f, 0.793171536f, 0.736530154f, 0.676404711f, 0.608998288f,
         0.527495896f, 0.41301422f}),
};

constexpr size_t WholeWords(size_t codes) { return (codes + 31) / 32 * 32; }

// Where a level's codes begin in the tile; for kLevels, where the tile ends.
uint64_t LevelBegin(const CodecParams& params, TileShape shape, unsigned level) {
  uint64_t at = AlignTile(shape.elements() / kBlock * 2);
  for (unsigned i = 0; i < level; ++i) {
    at += PackedBytes(WholeWords(shape.elements() >> (i + 1)), PolarBookOf(params, i).bits);
  }
  return at;
}

}  // namespace

const AngleBook& PolarBookOf(const CodecParams& params, unsigned level) {
  if (level > 0) return (params.bits == 5 ? kQuadrant8 : kQuadrant4)[level - 1];
  return params.bits == 3 ? kCircle2 : params.bits == 4 ? kCircle4 : kCircle8;
}

bool PolarQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return params.bits >= 3 && params.bits <= 5 && params.variant == 0 && params.group == 0 &&
         params.boosted == 0;
}

uint64_t PolarQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  return LevelBegin(params, shape, kLevels);
}

bool PolarQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                            float* rows, std::byte* out) const {
  const CodecParams& params = context.params;
  const size_t dim = context.shape.head_dim, elements = count * dim;
  const PolarOps& ops = PolarOpsOf(context.isa);
  const PackingOps& packing = PackingOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), WholeWords(elements / 2)));
  // Radii of the levels, one behind the other: elements / 2, / 4, / 8, / 16.
  std::vector<float>& radii = context.workspace.scratch;
  radii.resize(std::max(radii.size(), elements));
  const float* pairs = rows;
  float* level_radii = radii.data();
  for (unsigned level = 0; level < kLevels; ++level) {
    const AngleBook& book = PolarBookOf(params, level);
    const size_t angles = elements >> (level + 1), padded = WholeWords(angles);
    ops.split(pairs, angles, book, level_radii, codes.data());
    std::fill(codes.data() + angles, codes.data() + padded, uint8_t{0});
    packing.pack(codes.data(), book.bits,
                 reinterpret_cast<uint8_t*>(out) + LevelBegin(params, context.shape, level) +
                     PackedBytes(begin * dim >> (level + 1), book.bits),
                 padded);
    pairs = level_radii;
    level_radii += angles;
  }
  for (size_t i = 0; i < elements / kBlock; ++i) {
    if (!(pairs[i] <= kFp16Max)) return false;
    const uint16_t stored = Fp16OfFloat(pairs[i]);
    std::memcpy(out + (begin * dim / kBlock + i) * 2, &stored, 2);
  }
  if (begin + count == context.shape.tokens) {
    const uint64_t used = context.shape.elements() / kBlock * 2;
    std::memset(out + used, 0, LevelBegin(params, context.shape, 0) - used);
  }
  return true;
}

void PolarQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                            const std::byte* in, float* rows) const {
  const CodecParams& params = context.params;
  const size_t dim = context.shape.head_dim, elements = count * dim;
  const PolarOps& ops = PolarOpsOf(context.isa);
  const PackingOps& packing = PackingOpsOf(context.isa);
  std::vector<uint8_t>& codes = context.workspace.codes;
  codes.resize(std::max(codes.size(), WholeWords(elements / 2)));
  std::vector<float>& radii = context.workspace.scratch;
  radii.resize(std::max(radii.size(), elements));
  float* level_radii = radii.data();
  for (size_t i = 0; i < elements / kBlock; ++i) {
    uint16_t stored;
    std::memcpy(&stored, in + (begin * dim / kBlock + i) * 2, 2);
    level_radii[i] = FloatOfFp16(stored);
  }
  for (unsigned level = kLevels; level-- > 0;) {
    const AngleBook& book = PolarBookOf(params, level);
    const size_t angles = elements >> (level + 1);
    packing.unpack(reinterpret_cast<const uint8_t*>(in) + LevelBegin(params, context.shape, level) +
                       PackedBytes(begin * dim >> (level + 1), book.bits),
                   book.bits, codes.data(), WholeWords(angles));
    float* pairs = level == 0 ? rows : level_radii + angles;
    ops.join(level_radii, codes.data(), angles, book, pairs);
    level_radii = pairs;
  }
}

}  // namespace larder
