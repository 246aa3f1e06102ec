// What codebook_ops_scalar.cc takes from codebook_ops_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/codebook_ops.h"

namespace larder {

const CodebookOps& SimdCodebookOps();

}  // namespace larder
