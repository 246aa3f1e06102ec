// What affine_ops_scalar.cc takes from affine_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/affine_ops.h"

namespace larder {

const AffineOps& SimdAffineOps(ElementType type);

}  // namespace larder
