// The SIMD table of codebook_ops.h, chosen for this processor.
#pragma once

#include "kernels/codec/codebook_ops.h"

namespace larder {

const CodebookOps& SimdCodebookOps();

}  // namespace larder
