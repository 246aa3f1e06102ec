// What packing_scalar.cc takes from packing_simd.cc; included by nothing else.
#pragma once

#include "kernels/codec/packing.h"

namespace larder {

const PackingOps& SimdPackingOps();

}  // namespace larder
