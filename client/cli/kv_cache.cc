#include "client/cli/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/codec/number_formats.h"
#include "proto/contract/errors.h"

namespace larder::cli {
namespace {

// Calls visit(elements of the cache, offset in the raw block) for each stream of the piece, in raw
// order. Raw NHD streams of consecutive tokens are consecutive in the cache.
template <typename Cache, typename Visit>
void ForEachStream(Cache& cache, const KvPiece& piece, Visit visit) {
  const uint64_t first = piece.token_begin - cache.token_begin;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < piece.shape.layers; ++i) {
    const uint32_t layer = piece.shape.layer_begin - cache.layer_begin + i;
    const auto stream = [&](auto& elements, uint32_t head_dim) {
      const uint64_t row = uint64_t{cache.heads} * head_dim;
      const auto part = std::span(elements).subspan(first * row, piece.shape.tokens * row);
      visit(part, offset);
      offset += part.size_bytes();
    };
    stream(cache.keys[layer], cache.head_dim_k);
    stream(cache.values[layer], cache.head_dim_v);
  }
}

}  // namespace

absl::StatusOr<std::vector<KvPiece>> CutIntoPieces(const KvCache& cache, uint32_t block_tokens) {
  KvShape shape;
  shape.kind = GroupKind::kAttention;
  shape.dtype = cache.dtype;
  shape.axis_order = AxisOrder::kNhd;
  shape.layer_begin = cache.layer_begin;
  shape.layers = cache.layers();
  shape.kv_heads = cache.heads;
  shape.head_dim_k = cache.head_dim_k;
  shape.head_dim_v = cache.head_dim_v;
  shape.tokens = std::min(block_tokens, cache.tokens);
  while (RawFrameBytes(shape) == 0) {
    if (shape.layers > 1) {
      shape.layers = (shape.layers + 1) / 2;
    } else if (shape.tokens > 1) {
      shape.tokens = (shape.tokens + 1) / 2;
    } else {
      return InvalidField("tensors",
                          std::to_string(cache.heads) + " heads of " +
                              std::to_string(cache.head_dim_k) + " channels",
                          "at least one layer, head, token and channel, and no more than a frame "
                          "holds of one token");
    }
  }
  std::vector<KvPiece> pieces;
  const KvShape largest = shape;
  for (uint32_t layer = 0; layer < cache.layers(); layer += largest.layers) {
    shape.layer_begin = cache.layer_begin + layer;
    shape.layers = std::min(largest.layers, cache.layers() - layer);
    for (uint64_t token = 0; token < cache.tokens; token += largest.tokens) {
      shape.tokens =
          static_cast<uint32_t>(std::min<uint64_t>(largest.tokens, cache.tokens - token));
      pieces.push_back({shape, cache.token_begin + token});
    }
  }
  return pieces;
}

void GatherPiece(const KvCache& cache, const KvPiece& piece, std::span<std::byte> raw) {
  ForEachStream(cache, piece, [&](std::span<const uint16_t> elements, uint64_t offset) {
    std::memcpy(raw.data() + offset, elements.data(), elements.size_bytes());
  });
}

void ScatterPiece(std::span<const std::byte> raw, const KvPiece& piece, KvCache& cache) {
  ForEachStream(cache, piece, [&](std::span<uint16_t> elements, uint64_t offset) {
    std::memcpy(elements.data(), raw.data() + offset, elements.size_bytes());
  });
}

std::vector<float> RowsOfHead(const KvCache& cache, StreamKind kind, uint32_t layer,
                              uint32_t head) {
  const bool key = kind == StreamKind::kKey;
  const uint32_t head_dim = key ? cache.head_dim_k : cache.head_dim_v;
  const std::vector<uint16_t>& elements = key ? cache.keys[layer] : cache.values[layer];
  std::vector<float> rows;
  rows.reserve(size_t{cache.tokens} * head_dim);
  for (uint32_t token = 0; token < cache.tokens; ++token) {
    const uint16_t* row = &elements[(size_t{token} * cache.heads + head) * head_dim];
    for (uint32_t i = 0; i < head_dim; ++i) {
      rows.push_back(cache.dtype == Dtype::kBf16 ? FloatOfBf16(row[i]) : FloatOfFp16(row[i]));
    }
  }
  return rows;
}

bool IsFinite(const KvCache& cache) {
  const uint32_t infinity = cache.dtype == Dtype::kBf16 ? kBf16Infinity : kFp16Infinity;
  const auto finite = [&](const std::vector<std::vector<uint16_t>>& streams) {
    return std::ranges::all_of(streams, [&](const std::vector<uint16_t>& elements) {
      return std::ranges::all_of(elements, [&](uint16_t x) { return (x & 0x7FFFu) < infinity; });
    });
  };
  return finite(cache.keys) && finite(cache.values);
}

}  // namespace larder::cli
