// What rotation_ops_scalar.cc takes from rotation_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/rotation_ops.h"

namespace larder {

const RotationOps& SimdRotationOps();

}  // namespace larder
