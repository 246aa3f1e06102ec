// Round trips of one tile through a SymbolCodec.
#pragma once

#include <gtest/gtest.h>

#include "kernels/codec/symbol_codec.h"
#include "tests/unit/kernels/codec/random_tile.h"

namespace larder {

struct CodedTile {
  std::vector<std::byte> bytes;
  std::vector<uint16_t> decoded;

  double bits_per_element() const {
    return static_cast<double>(bytes.size()) * 8 / static_cast<double>(decoded.size());
  }
};

inline CodedTile RoundTrip(const SymbolQuantiser& quantiser, const RandomTile& tile,
                           const CodecParams& params) {
  const SymbolCodec codec(quantiser);
  const TileContext context{params, tile.dtype};
  Workspace workspace;
  CodedTile coded;
  coded.bytes.resize(codec.BytesMax(params, tile.shape));
  const auto bytes =
      codec.Encode(context, tile.shape, tile.source(), workspace, coded.bytes.data());
  EXPECT_TRUE(bytes.has_value());
  coded.bytes.resize(bytes.value_or(0));
  coded.decoded.resize(tile.elements.size());
  EXPECT_TRUE(codec.Decode(context, tile.shape, coded.bytes, workspace,
                           TargetOf(coded.decoded, tile.shape)));
  return coded;
}

}  // namespace larder
