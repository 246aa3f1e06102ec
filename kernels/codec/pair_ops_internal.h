// What pair_ops_scalar.cc takes from pair_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/pair_ops.h"

namespace larder {

const PairOps& SimdPairOps();

}  // namespace larder
