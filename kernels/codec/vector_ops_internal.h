// What vector_ops_scalar.cc takes from vector_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/vector_ops.h"

namespace larder {

// The table of the best instruction set that this processor has (or that the test has chosen).
const VectorOps& SimdVectorOps();

}  // namespace larder
