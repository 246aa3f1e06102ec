#include "kernels/codec/device/run_setup.h"

#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/codec/cachegen_quantiser.h"
#include "kernels/codec/gaussian_matrix.h"
#include "kernels/codec/haar_matrix.h"
#include "kernels/codec/polar_quantiser.h"
#include "kernels/codec/registry.h"
#include "kernels/codec/rope_table.h"
#include "kernels/codec/seeded_word.h"
#include "kernels/codec/tile_codec.h"
#include "kernels/codec/uniform_quantiser.h"

namespace larder {
namespace {

constexpr uint64_t AlignTable(uint64_t bytes) { return (bytes + 15) / 16 * 16; }

// places[old channel] = new channel; TileTransform has the inverse.
void WritePlaces(uint64_t seed, uint32_t dim, uint16_t* places) {
  std::vector<uint16_t> permutation(dim);
  std::iota(permutation.begin(), permutation.end(), uint16_t{0});
  for (uint32_t i = dim - 1; i > 0; --i) {  // Fisher and Yates
    std::swap(permutation[i], permutation[SeededWord(seed, 0x10000u + i) % (i + 1)]);
  }
  for (uint32_t i = 0; i < dim; ++i) places[permutation[i]] = static_cast<uint16_t>(i);
}

bool Aligned(int64_t value) { return value % 16 == 0; }
bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace

RunSetup::RunSetup(const TileRun& run, uint64_t token_begin)
    : turns_((run.params.transform & kTransformUnrope) != 0),
      permutes_((run.params.transform & kTransformRotate) != 0 &&
                !std::has_single_bit(run.shape.head_dim)) {
  if (FindTileCodec(run.id) == nullptr || run.shape.tokens == 0) return;
  if (run.shape.head_dim > kDeviceHeadDimMax) return;
  if (run.dtype != Dtype::kBf16 && run.dtype != Dtype::kFp16) return;
  const TileCodec& codec = *FindTileCodec(run.id);
  if (!RopeFieldsHold(run.params) || !codec.Accepts(run.params, run.shape)) return;
  if (turns_ && !RopeReaches(token_begin, run.shape.tokens)) return;
  const uint64_t bytes = codec.BytesMax(run.params, run.shape);
  if (bytes > std::numeric_limits<uint32_t>::max() / 2) return;
  const uint32_t dim = run.shape.head_dim;
  if (turns_) {
    const RopeTable rope(run.params, token_begin, run.shape.tokens);
    const size_t table = size_t{run.shape.tokens} * rope.pairs() * sizeof(float);
    sines_at_ = AlignTable(table);
    image_.resize(2 * AlignTable(table));
    std::memcpy(image_.data(), rope.Cosines(0), table);
    std::memcpy(image_.data() + sines_at_, rope.Sines(0), table);
  }
  places_at_ = image_.size();
  if (permutes_) {
    AddPlaces(run, dim, [](uint64_t seed) { return seed; });
  }
  if (run.id == CodecId::kTurboTiered) {
    const uint32_t dims[] = {run.params.boosted, dim - run.params.boosted};
    for (uint32_t tier = 0; tier < 2; ++tier) {
      if (std::has_single_bit(dims[tier])) continue;
      tier_places_at_[tier] = AddPlaces(run, dims[tier], [&](uint64_t seed) {
        return SeededWord(seed, (uint64_t{1} << 33) + tier);
      });
    }
  }
  if ((run.params.transform & kTransformHaar) != 0) {
    const auto haar = FindHaarMatrix(run.params.seed, dim);
    rotation_ = {AddTable(std::as_bytes(std::span(haar->forward(), size_t{dim} * dim))),
                 AddTable(std::as_bytes(std::span(haar->back(), size_t{dim} * dim))), true};
  }
  if (run.id == CodecId::kTurboProd || run.id == CodecId::kQjl) {
    const uint32_t size = run.id == CodecId::kQjl ? run.params.boosted : dim;
    const auto matrix = FindGaussianMatrix(run.params.seed, size, dim);
    sketch_ = {AddTable(std::as_bytes(std::span(matrix->transposed(), size_t{size} * dim))),
               AddTable(std::as_bytes(std::span(matrix->values(), size_t{size} * dim))), true};
  }
  if (run.id == CodecId::kUniform) AddSymbols(UniformLevelOf(run.params.bits));
  if (run.id == CodecId::kCacheGen) AddSymbols(CacheGenLevelOf(run.params.bits));
  if (SizeVaries(run.id)) {  // symbols, and a word for each
    const uint64_t elements = run.shape.elements();
    scratch_bytes_ = static_cast<uint32_t>(AlignTable(elements) + AlignTable(2 * elements));
  }
  tile_bytes_ = static_cast<uint32_t>(bytes);
}

uint64_t RunSetup::AddPlaces(const TileRun& run, uint32_t dim,
                             const std::function<uint64_t(uint64_t)>& seed_of_layer) {
  std::vector<uint16_t> places(size_t{run.streams} * dim);
  for (uint32_t stream = 0; stream < run.streams; ++stream) {
    const uint64_t layer = uint64_t{run.layer_begin} + stream;
    WritePlaces(seed_of_layer(SeededWord(run.params.seed, layer)), dim,
                places.data() + size_t{stream} * dim);
  }
  return AddTable(std::as_bytes(std::span(places)));
}

uint64_t RunSetup::AddTable(std::span<const std::byte> table) {
  const size_t at = image_.size();
  image_.resize(at + AlignTable(table.size()));
  if (!table.empty()) std::memcpy(image_.data() + at, table.data(), table.size());
  return at;
}

void RunSetup::AddSymbols(const SymbolLevel& level) {
  level_ = level;
  const size_t symbols = size_t{level.rans_tables} * level.rans.alphabet;
  std::vector<float> values(level.values.begin(), level.values.end());
  values.resize(kRunValues);
  symbols_at_.values = AddTable(std::as_bytes(std::span(values)));
  symbols_at_.slots =
      AddTable(std::as_bytes(std::span(level.rans.slots, size_t{level.rans_tables} * kRansScale)));
  symbols_at_.ranges = AddTable(std::as_bytes(std::span(level.rans.ranges, symbols)));
  symbols_at_.reciprocals = AddTable(std::as_bytes(std::span(level.rans.reciprocals, symbols)));
  symbols_at_.means = AddTable(std::as_bytes(level.means));
  symbols_at_.lengths = AddTable(std::as_bytes(level.lengths));
}

void RunSetup::Attach(const void* image, TileRun* run) const {
  const auto* base = static_cast<const std::byte*>(image);
  run->tables = {};
  if (turns_) {
    run->tables.cosines = reinterpret_cast<const float*>(base);
    run->tables.sines = reinterpret_cast<const float*>(base + sines_at_);
  }
  if (permutes_) run->tables.places = reinterpret_cast<const uint16_t*>(base + places_at_);
  for (uint32_t tier = 0; tier < 2; ++tier) {
    if (!tier_places_at_[tier]) continue;
    run->tables.tier_places[tier] =
        reinterpret_cast<const uint16_t*>(base + *tier_places_at_[tier]);
  }
  const auto matrix = [&](uint64_t at) { return reinterpret_cast<const float*>(base + at); };
  if (rotation_.there) {
    run->tables.rotation = matrix(rotation_.forward);
    run->tables.rotation_back = matrix(rotation_.back);
  }
  if (sketch_.there) {
    run->tables.sketch = matrix(sketch_.forward);
    run->tables.sketch_back = matrix(sketch_.back);
  }
  run->tile_bytes = tile_bytes_;
  run->scratch_bytes = scratch_bytes_;
  if (level_.limit > 0) {
    const auto table = [&](uint64_t at) { return reinterpret_cast<const uint32_t*>(base + at); };
    run->symbols = {.limit = level_.limit,
                    .steps_per_sigma = level_.steps_per_sigma,
                    .alphabet = level_.rans.alphabet,
                    .values = reinterpret_cast<const float*>(base + symbols_at_.values),
                    .slots = table(symbols_at_.slots),
                    .ranges = table(symbols_at_.ranges),
                    .reciprocals = table(symbols_at_.reciprocals),
                    .means = table(symbols_at_.means),
                    .lengths = table(symbols_at_.lengths)};
  }
  if (run->id == CodecId::kPolar) {
    for (unsigned level = 0; level < kPolarLevels; ++level) {
      run->polar[level] = PolarBookOf(run->params, level);
    }
  }
  if (run->id == CodecId::kTurbo) run->book = kLloydMax[run->params.bits - 1];
  if (run->id == CodecId::kTurboTiered) {
    run->book = kLloydMax[run->params.bits - 1];
    run->strong_book = kLloydMax[run->params.bits];
  }
  if (run->id == CodecId::kTurboProd) run->book = kLloydMax[run->params.bits - 2];
}

bool RunHolds(const TileRun& run, bool encode) {
  if (run.tile_bytes == 0 || run.streams == 0 || run.heads == 0 || run.blocks == 0) return false;
  if (run.rows.base == nullptr || run.tiles.base == nullptr) return false;
  if (encode && run.refused == nullptr) return false;
  const bool dense = (run.params.transform & kTransformHaar) != 0;
  if (dense && (run.tables.rotation == nullptr || run.tables.rotation_back == nullptr)) {
    return false;
  }
  const bool sketches = run.id == CodecId::kTurboProd || run.id == CodecId::kQjl;
  if (sketches && (run.tables.sketch == nullptr || run.tables.sketch_back == nullptr)) {
    return false;
  }
  if (SizeVaries(run.id)) {
    if (run.refused == nullptr || run.sizes == nullptr) return false;
    if (encode && (run.scratch == nullptr || run.scratch_bytes == 0 || !Aligned(run.scratch))) {
      return false;
    }
    if (run.id != CodecId::kLossless && run.symbols.values == nullptr) return false;
  }
  if (run.rows.pages != nullptr && run.rows.page_tokens == 0) return false;
  const bool turns = (run.params.transform & kTransformUnrope) != 0;
  if (turns && (run.tables.cosines == nullptr || run.tables.sines == nullptr)) return false;
  const RunRows& rows = run.rows;
  const RunTiles& tiles = run.tiles;
  return Aligned(rows.base) && Aligned(rows.block_stride) && Aligned(rows.stream_stride) &&
         Aligned(rows.head_stride) && Aligned(rows.token_stride) && Aligned(rows.page_stride) &&
         Aligned(tiles.base) && Aligned(tiles.block_stride) && Aligned(tiles.stream_stride) &&
         Aligned(tiles.head_stride);
}

}  // namespace larder
