// What fp8_ops_scalar.cc takes from fp8_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/fp8_ops.h"

namespace larder {

const Fp8Ops& SimdFp8Ops();

}  // namespace larder
