#include "kernels/codec/uniform_quantiser.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/symbol_codes.h"
#include "kernels/codec/symbol_models.h"
#include "kernels/codec/symbol_ops.h"

namespace larder {
namespace {

constexpr uint8_t kBitsMin = 2, kBitsMax = 5;

// The outermost symbols begin between 4.2 and 4.5 sigma.
struct Grid {
  double step;
  int limit;
};
constexpr Grid kGrids[] = {{1.264, 4}, {0.655, 7}, {0.339, 13}, {0.174, 25}};

struct Level {
  int limit;
  float steps_per_sigma;
  std::vector<float> centroids;  // in units of sigma; zero to a multiple of 16
  RansTableSet tables;
};

Level MakeLevel(const Grid& grid) {
  SymbolModel model = GaussianModel(1.0 / grid.step, grid.limit);
  Level level{grid.limit, static_cast<float>(1.0 / grid.step), std::move(model.centroids), {}};
  level.centroids.resize((level.centroids.size() + 15) / 16 * 16);
  level.tables.Add(model.frequencies);
  return level;
}

const Level& LevelOf(uint8_t bits) {
  static const Level levels[] = {MakeLevel(kGrids[0]), MakeLevel(kGrids[1]), MakeLevel(kGrids[2]),
                                 MakeLevel(kGrids[3])};
  return levels[bits - kBitsMin];
}

}  // namespace

SymbolLevel UniformLevelOf(uint8_t bits) {
  const Level& level = LevelOf(bits);
  return {.limit = level.limit,
          .steps_per_sigma = level.steps_per_sigma,
          .values = level.centroids,
          .rans = level.tables.View(),
          .means = {},
          .lengths = {}};
}

bool UniformQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return params.bits >= kBitsMin && params.bits <= kBitsMax && params.variant == 0 &&
         params.group == 0 && params.boosted == 0 &&
         (params.transform & (kTransformRotate | kTransformHaar)) != 0;
}

uint64_t UniformQuantiser::SideBytes(const CodecParams&, TileShape shape) const {
  return (uint64_t{shape.tokens} * 2 + 3) / 4 * 4;
}

bool UniformQuantiser::EncodeRow(const SymbolContext& context, uint32_t row, const float* values,
                                 uint8_t* symbols, std::byte* side) const {
  const Level& level = LevelOf(context.params.bits);
  const VectorOps& ops = VectorOpsOf(context.isa);
  const SymbolOps& symbol_ops = SymbolOpsOf(context.isa);
  const size_t dim = context.shape.head_dim;
  const float energy = ops.dot(values, values, dim);
  if (!(energy <= FLT_MAX)) return false;
  uint16_t stored = 0;
  if (energy < kUniformEnergyMin) {
    std::fill(symbols, symbols + dim, static_cast<uint8_t>(level.limit));
  } else {
    const float factor = std::sqrt(static_cast<float>(dim) / energy) * level.steps_per_sigma;
    symbol_ops.quantise(values, factor, level.limit, symbols, dim);
    std::vector<float>& scratch = context.workspace.scratch;
    scratch.resize(std::max(scratch.size(), dim));
    symbol_ops.look_up(symbols, level.centroids.data(), level.centroids.size(), 1.0f,
                       scratch.data(), dim);
    const float scale = energy / ops.dot(values, scratch.data(), dim);
    if (!(scale <= kFp16Max)) return false;
    stored = Fp16OfFloat(scale);
  }
  std::memcpy(side + size_t{row} * 2, &stored, 2);
  return true;
}

void UniformQuantiser::FinishSide(const SymbolContext& context, const uint8_t*,
                                  std::byte* side) const {
  const size_t used = size_t{context.shape.tokens} * 2;
  std::memset(side + used, 0, SideBytes(context.params, context.shape) - used);
}

bool UniformQuantiser::Tables(const SymbolContext& context, const std::byte*,
                              RansTables* tables) const {
  *tables = LevelOf(context.params.bits).tables.View();
  return true;
}

void UniformQuantiser::DecodeRow(const SymbolContext& context, uint32_t row, const uint8_t* symbols,
                                 const std::byte* side, float* values) const {
  uint16_t stored;
  std::memcpy(&stored, side + size_t{row} * 2, 2);
  const Level& level = LevelOf(context.params.bits);
  SymbolOpsOf(context.isa)
      .look_up(symbols, level.centroids.data(), level.centroids.size(), FloatOfFp16(stored), values,
               context.shape.head_dim);
}

}  // namespace larder
