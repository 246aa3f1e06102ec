// What symbol_ops_scalar.cc takes from symbol_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/symbol_codes.h"
#include "kernels/codec/symbol_ops.h"

namespace larder {

const SymbolOps& SimdSymbolOps();

}  // namespace larder
