// What sketch_ops_scalar.cc takes from sketch_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/sketch_ops.h"

namespace larder {

const SketchOps& SimdSketchOps();

}  // namespace larder
