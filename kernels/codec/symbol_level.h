// What a symbol quantiser makes of its parameters, as tables: for device code, which gets copies of them.
// Views of immutable memory that lives as long as the process: thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/codec/rans.h"

namespace larder {

struct SymbolLevel {
  int limit = 0;                  // symbols are 0 to 2 limit
  float steps_per_sigma = 0;      // of kUniform
  std::span<const float> values;  // by symbol: centroids, or symbol - limit
  RansTables rans;
  uint32_t rans_tables = 1;
  // Of kCacheGen, by table: mean |k| x 2^16; and [table][|k|] the mean length of the two symbols.
  std::span<const uint32_t> means;
  std::span<const uint32_t> lengths;
};

}  // namespace larder
