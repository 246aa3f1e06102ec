#include "kernels/codec/device/run_setup.h"

#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/codec/polar_quantiser.h"
#include "kernels/codec/registry.h"
#include "kernels/codec/rope_table.h"
#include "kernels/codec/seeded_word.h"
#include "kernels/codec/tile_codec.h"

namespace larder {
namespace {

constexpr uint64_t AlignTable(uint64_t bytes) { return (bytes + 15) / 16 * 16; }

bool OnDevice(CodecId id, const CodecParams& params) {
  if ((params.transform & kTransformHaar) != 0) return false;
  switch (id) {
    case CodecId::kFp8:
    case CodecId::kGgml:
    case CodecId::kKitty:
    case CodecId::kTurbo:
    case CodecId::kPolar:
      return true;
    case CodecId::kAffine:
      return params.bits == 2 || params.bits == 4;
    default:
      return false;
  }
}

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
  if (!OnDevice(run.id, run.params) || run.shape.tokens == 0) return;
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
    std::vector<uint16_t> places(size_t{run.streams} * dim);
    for (uint32_t stream = 0; stream < run.streams; ++stream) {
      const uint64_t layer = uint64_t{run.layer_begin} + stream;
      WritePlaces(SeededWord(run.params.seed, layer), dim, places.data() + size_t{stream} * dim);
    }
    image_.resize(places_at_ + AlignTable(places.size() * 2));
    std::memcpy(image_.data() + places_at_, places.data(), places.size() * 2);
  }
  tile_bytes_ = static_cast<uint32_t>(bytes);
}

void RunSetup::Attach(const void* image, TileRun* run) const {
  const auto* base = static_cast<const std::byte*>(image);
  run->tables = {};
  if (turns_) {
    run->tables.cosines = reinterpret_cast<const float*>(base);
    run->tables.sines = reinterpret_cast<const float*>(base + sines_at_);
  }
  if (permutes_) run->tables.places = reinterpret_cast<const uint16_t*>(base + places_at_);
  run->tile_bytes = tile_bytes_;
  if (run->id == CodecId::kPolar) {
    for (unsigned level = 0; level < kPolarLevels; ++level) {
      run->polar[level] = PolarBookOf(run->params, level);
    }
  }
  if (run->id == CodecId::kTurbo) run->book = kLloydMax[run->params.bits - 1];
}

bool RunHolds(const TileRun& run, bool encode) {
  if (run.tile_bytes == 0 || run.streams == 0 || run.heads == 0 || run.blocks == 0) return false;
  if (run.rows.base == nullptr || run.tiles.base == nullptr) return false;
  if (encode && run.refused == nullptr) return false;
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
