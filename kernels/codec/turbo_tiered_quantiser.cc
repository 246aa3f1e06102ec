#include "kernels/codec/turbo_tiered_quantiser.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr uint8_t kRotations = kTransformRotate | kTransformHaar;

// Of one tier of a tile.
struct Tier {
  CodecParams params;
  TileShape shape;
  uint64_t begin = 0;  // of its bytes in the tile
};

struct Tiers {
  Tier strong, weak;
};

Tiers TiersOf(const CodecParams& params, TileShape shape, const TurboQuantiser& turbo) {
  Tiers tiers;
  tiers.strong.params = tiers.weak.params = params;
  tiers.strong.params.boosted = tiers.weak.params.boosted = 0;
  ++tiers.strong.params.bits;
  tiers.strong.shape = {shape.tokens, params.boosted};
  tiers.weak.shape = {shape.tokens, shape.head_dim - params.boosted};
  tiers.strong.begin = AlignTile(shape.head_dim / 8);
  tiers.weak.begin =
      AlignTile(tiers.strong.begin + turbo.Bytes(tiers.strong.params, tiers.strong.shape));
  return tiers;
}

// The channels of the strong tier, then the others, each in order.
using Channels = std::vector<uint32_t>;

Channels StrongestFirst(const float* rows, TileShape shape, uint32_t strong) {
  const uint32_t dim = shape.head_dim;
  std::vector<float> energies(dim, 0.0f);
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    const float* row = rows + size_t{token} * dim;
    for (uint32_t i = 0; i < dim; ++i) energies[i] += row[i] * row[i];
  }
  Channels channels(dim);
  std::iota(channels.begin(), channels.end(), 0u);
  std::stable_sort(channels.begin(), channels.end(),
                   [&](uint32_t a, uint32_t b) { return energies[a] > energies[b]; });
  std::sort(channels.begin(), channels.begin() + strong);
  std::sort(channels.begin() + strong, channels.end());
  return channels;
}

Channels ReadChannels(const std::byte* mask, uint32_t dim, uint32_t strong) {
  Channels channels, others;
  for (uint32_t i = 0; i < dim; ++i) {
    const bool set = ((mask[i / 8] >> (i % 8)) & std::byte{1}) != std::byte{0};
    (set && channels.size() < strong ? channels : others).push_back(i);
  }
  const auto filled = others.begin() + (strong - channels.size());
  channels.insert(channels.end(), others.begin(), filled);
  std::sort(channels.begin(), channels.end());
  channels.insert(channels.end(), filled, others.end());
  return channels;
}

// Columns of rows of `dim` to rows of their own, and back.
void Gather(const float* rows, uint32_t dim, const uint32_t* channels, TileShape tier, float* out) {
  for (uint32_t token = 0; token < tier.tokens; ++token, rows += dim, out += tier.head_dim) {
    for (uint32_t i = 0; i < tier.head_dim; ++i) out[i] = rows[channels[i]];
  }
}

void Scatter(const float* in, uint32_t dim, const uint32_t* channels, TileShape tier, float* rows) {
  for (uint32_t token = 0; token < tier.tokens; ++token, rows += dim, in += tier.head_dim) {
    for (uint32_t i = 0; i < tier.head_dim; ++i) rows[channels[i]] = in[i];
  }
}

// Rotations of the two tiers of one layer, and room for the rows of one of them.
RowRotation& Prepared(const QuantiserContext& context, const Tier& tier, size_t number) {
  const uint64_t seed = SeededWord(context.params.seed, context.layer);
  RowRotation& rotation = context.workspace.tiers[number];
  rotation.Prepare(RotationKind::kHadamard, SeededWord(seed, (uint64_t{1} << 33) + number),
                   tier.shape.head_dim);
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max<size_t>(scratch.size(), tier.shape.elements()));
  return rotation;
}

QuantiserContext ContextOf(const QuantiserContext& context, const Tier& tier) {
  return {tier.params, tier.shape, 0.0f, context.layer, context.isa, context.workspace};
}

}  // namespace

bool TurboTieredQuantiser::Accepts(const CodecParams& params, TileShape shape) const {
  return params.bits >= 1 && params.bits <= 3 && params.variant <= kTurboNormed &&
         params.group == 0 && params.boosted >= 16 && params.boosted % 16 == 0 &&
         params.boosted < shape.head_dim && (params.transform & kRotations) == 0;
}

uint64_t TurboTieredQuantiser::Bytes(const CodecParams& params, TileShape shape) const {
  const Tier weak = TiersOf(params, shape, turbo_).weak;
  return weak.begin + turbo_.Bytes(weak.params, weak.shape);
}

bool TurboTieredQuantiser::Encode(const QuantiserContext& context, uint32_t, uint32_t count,
                                  float* rows, std::byte* out) const {
  const uint32_t dim = context.shape.head_dim;
  const Tiers tiers = TiersOf(context.params, context.shape, turbo_);
  const Channels channels = StrongestFirst(rows, context.shape, context.params.boosted);
  std::memset(out, 0, tiers.weak.begin);
  for (uint32_t i = 0; i < context.params.boosted; ++i) {
    out[channels[i] / 8] |= std::byte{1} << (channels[i] % 8);
  }
  size_t number = 0;
  const uint32_t* first = channels.data();
  for (const Tier* tier : {&tiers.strong, &tiers.weak}) {
    RowRotation& rotation = Prepared(context, *tier, number++);
    float* part = context.workspace.scratch.data();
    Gather(rows, dim, first, tier->shape, part);
    rotation.Rotate(context.isa, part, count);
    if (!turbo_.Encode(ContextOf(context, *tier), 0, count, part, out + tier->begin)) return false;
    first += tier->shape.head_dim;
  }
  return true;
}

void TurboTieredQuantiser::Decode(const QuantiserContext& context, uint32_t, uint32_t count,
                                  const std::byte* in, float* rows) const {
  const uint32_t dim = context.shape.head_dim;
  const Tiers tiers = TiersOf(context.params, context.shape, turbo_);
  const Channels channels = ReadChannels(in, dim, context.params.boosted);
  size_t number = 0;
  const uint32_t* first = channels.data();
  for (const Tier* tier : {&tiers.strong, &tiers.weak}) {
    RowRotation& rotation = Prepared(context, *tier, number++);
    float* part = context.workspace.scratch.data();
    turbo_.Decode(ContextOf(context, *tier), 0, count, in + tier->begin, part);
    rotation.RotateBack(context.isa, part, count);
    Scatter(part, dim, first, tier->shape, rows);
    first += tier->shape.head_dim;
  }
}

}  // namespace larder
