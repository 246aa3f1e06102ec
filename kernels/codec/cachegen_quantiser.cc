#include "kernels/codec/cachegen_quantiser.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/portable_math.h"
#include "kernels/codec/symbol_models.h"
#include "kernels/codec/symbol_ops.h"

namespace larder {
namespace {

constexpr double kSigmaMin = 0.16, kSigmaRatio = 1.16;
constexpr int kLimitMax = 15;
static_assert(kCacheGenMagnitudes == kLimitMax + 1);

struct Level {
  int limit = 0;
  std::vector<float> steps;  // symbol - limit; 16 or 32 entries
  std::vector<std::vector<uint32_t>> frequencies;
  RansTableSet tables;
  // By table: mean |k| x 2^16; and by |k| the mean length of the two symbols in 1/1024 bit.
  uint32_t mean[kCacheGenTables];
  uint32_t length[kCacheGenTables][kCacheGenMagnitudes] = {};
};

void AddTable(Level& level, uint32_t index, std::vector<uint32_t> frequencies) {
  constexpr double kLn2 = 0.6931471805599453;
  const auto limit = static_cast<size_t>(level.limit);
  level.mean[index] = 0;
  for (size_t k = 0; k <= limit; ++k) {
    const uint32_t both = frequencies[limit + k] + frequencies[limit - k];
    if (k > 0) level.mean[index] += static_cast<uint32_t>(k) * both * (65'536 / kRansScale);
    const double bits = (kRansScaleBits + 1) - PortableLog(both) / kLn2;
    level.length[index][k] = static_cast<uint32_t>(bits * 1024 + 0.5);
  }
  level.tables.Add(frequencies);
  level.frequencies.push_back(std::move(frequencies));
}

Level MakeLevel(int limit) {
  Level level;
  level.limit = limit;
  for (int k = -limit; k <= limit + 1; ++k) level.steps.push_back(static_cast<float>(k));
  for (const bool laplace : {false, true}) {
    double sigma = kSigmaMin;
    for (uint32_t i = 0; i < kCacheGenSigmas; ++i, sigma *= kSigmaRatio) {
      SymbolModel model = laplace ? LaplaceModel(sigma, limit) : GaussianModel(sigma, limit);
      AddTable(level, (laplace ? kCacheGenSigmas : 0) + i, std::move(model.frequencies));
    }
  }
  return level;
}

const Level& LevelOf(uint8_t bits) {
  if (bits == 5) {
    static const Level fine = MakeLevel(15);
    return fine;
  }
  static const Level coarse = MakeLevel(7);
  return coarse;
}

}  // namespace

const std::vector<uint32_t>& CacheGenFrequencies(uint8_t bits, uint32_t index) {
  return LevelOf(bits).frequencies[index];
}

SymbolLevel CacheGenLevelOf(uint8_t bits) {
  const Level& level = LevelOf(bits);
  return {.limit = level.limit,
          .values = level.steps,
          .rans = level.tables.View(),
          .rans_tables = kCacheGenTables,
          .means = level.mean,
          .lengths = {level.length[0], size_t{kCacheGenTables} * kCacheGenMagnitudes}};
}

bool CacheGenQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return (params.bits == 4 || params.bits == 5) && params.variant == 0 && params.group == 0 &&
         params.boosted == 0;
}

uint64_t CacheGenQuantiser::SideBytes(const CodecParams&, TileShape shape) const {
  return uint64_t{shape.head_dim} + (uint64_t{shape.tokens} * 2 + 3) / 4 * 4;
}

bool CacheGenQuantiser::EncodeRow(const SymbolContext& context, uint32_t row, const float* values,
                                  uint8_t* symbols, std::byte* side) const {
  const Level& level = LevelOf(context.params.bits);
  const size_t dim = context.shape.head_dim;
  const float largest = VectorOpsOf(context.isa).max_magnitude(values, dim);
  if (!(largest <= kFp16Max)) return false;
  const uint16_t stored = Fp16OfFloat(largest);
  std::memcpy(side + dim + size_t{row} * 2, &stored, 2);
  const float factor = stored == 0 ? 0.0f : static_cast<float>(level.limit) / FloatOfFp16(stored);
  SymbolOpsOf(context.isa).quantise(values, factor, level.limit, symbols, dim);
  return true;
}

void CacheGenQuantiser::FinishSide(const SymbolContext& context, const uint8_t* symbols,
                                   std::byte* side) const {
  const Level& level = LevelOf(context.params.bits);
  const TileShape shape = context.shape;
  const size_t dim = shape.head_dim;
  std::vector<uint32_t>& counts = context.workspace.words;  // [channel][|k|]
  counts.assign(dim * kCacheGenMagnitudes, 0);
  for (uint32_t token = 0; token < shape.tokens; ++token) {
    const uint8_t* row = symbols + token * dim;
    for (size_t channel = 0; channel < dim; ++channel) {
      const int k = row[channel] - level.limit;
      ++counts[channel * kCacheGenMagnitudes + static_cast<size_t>(k < 0 ? -k : k)];
    }
  }
  for (size_t channel = 0; channel < dim; ++channel) {
    const uint32_t* each = counts.data() + channel * kCacheGenMagnitudes;
    side[channel] =
        static_cast<std::byte>(CacheGenTableOf(level.mean, level.length[0], each, shape.tokens));
  }
  const size_t used = dim + size_t{shape.tokens} * 2;
  std::memset(side + used, 0, SideBytes(context.params, shape) - used);
}

bool CacheGenQuantiser::Tables(const SymbolContext& context, const std::byte* side,
                               RansTables* tables) const {
  const size_t dim = context.shape.head_dim;
  std::vector<uint32_t>& table_of = context.workspace.words;
  table_of.resize(std::max(table_of.size(), dim + kRansLanesMax));
  for (size_t i = 0; i < dim; ++i) {
    table_of[i] = static_cast<uint32_t>(side[i]);
    if (table_of[i] >= kCacheGenTables) return false;
  }
  for (size_t i = 0; i < kRansLanesMax; ++i) table_of[dim + i] = table_of[i % dim];
  *tables = LevelOf(context.params.bits).tables.View();
  tables->table_of = table_of.data();
  tables->period = static_cast<uint32_t>(dim);
  return true;
}

void CacheGenQuantiser::DecodeRow(const SymbolContext& context, uint32_t row,
                                  const uint8_t* symbols, const std::byte* side,
                                  float* values) const {
  const Level& level = LevelOf(context.params.bits);
  const size_t dim = context.shape.head_dim;
  uint16_t stored;
  std::memcpy(&stored, side + dim + size_t{row} * 2, 2);
  const float step = FloatOfFp16(stored) / static_cast<float>(level.limit);
  SymbolOpsOf(context.isa)
      .look_up(symbols, level.steps.data(), level.steps.size(), step, values, dim);
}

}  // namespace larder
