// What polar_ops_scalar.cc takes from polar_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/polar_ops.h"

namespace larder {

const PolarOps& SimdPolarOps();

}  // namespace larder
