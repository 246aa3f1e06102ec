// The values behind SyntheticKv: rows of one stream of one layer, position by position. Statistics
// and their source are in synthetic_kv.h.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/format/kv_layout.h"
#include "proto/contract/manifest.h"

namespace larder::cli {

struct RowOptions {
  StreamKind kind = StreamKind::kKey;  // kKey, kValue, kLatent or kRope
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  uint32_t positions = 0;
  uint64_t seed = 0;
};

// [head][position][head_dim] in bf16, round to nearest even. Position 0 is the sink.
std::vector<uint16_t> MakeRows(const RowOptions& options, const Rope& rope);

// bf16 of a finite float, round to nearest even; and back.
uint16_t ToBf16(float value);
float FromBf16(uint16_t value);

}  // namespace larder::cli
