// A tile: the rows of one head of one stream of one layer, [token][head_dim], as they stand in the
// caller's memory: a raw block in NHD or HND, or an engine's pages.
//
// Values only; the memory belongs to the caller and must outlive the use. std-only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder {

struct TileShape {
  uint32_t tokens = 0;
  uint32_t head_dim = 0;

  constexpr uint64_t elements() const { return uint64_t{tokens} * head_dim; }
  friend bool operator==(const TileShape&, const TileShape&) = default;
};

// Where row t stands. With t' = first_token + t: base + t' * token_stride, or, with pages,
// base + pages[t' / page_tokens] * page_stride + (t' % page_tokens) * token_stride. Strides in bytes;
// the elements of a row are contiguous.
template <typename Byte>
struct TileRows {
  Byte* base = nullptr;
  ptrdiff_t token_stride = 0;
  const int32_t* pages = nullptr;
  uint32_t page_tokens = 1;
  ptrdiff_t page_stride = 0;
  uint32_t first_token = 0;  // rows before it (sinks) are not the tile's

  Byte* Row(uint32_t row) const {
    const uint32_t token = first_token + row;
    if (pages == nullptr) return base + static_cast<ptrdiff_t>(token) * token_stride;
    return base + pages[token / page_tokens] * page_stride +
           static_cast<ptrdiff_t>(token % page_tokens) * token_stride;
  }
};

using SourceRows = TileRows<const std::byte>;
using TargetRows = TileRows<std::byte>;

}  // namespace larder
