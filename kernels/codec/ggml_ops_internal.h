// What ggml_ops_scalar.cc takes from ggml_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/ggml_ops.h"

namespace larder {

const GgmlOps& SimdGgmlOps();

}  // namespace larder
