// What symbol_ops_scalar.cc takes from symbol_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/symbol_ops.h"

namespace larder {

// Adding it rounds to an integer, half to even, that stands in the low bits.
inline constexpr float kRoundingShift = 0x1.8p23f;

const SymbolOps& SimdSymbolOps();

}  // namespace larder
