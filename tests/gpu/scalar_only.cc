// The codecs without Highway, for machines that lack it: every SIMD form is the scalar one, which gives the same bytes.
#include "kernels/codec/affine_ops_internal.h"
#include "kernels/codec/codebook_ops_internal.h"
#include "kernels/codec/fp8_ops_internal.h"
#include "kernels/codec/ggml_ops_internal.h"
#include "kernels/codec/packing_internal.h"
#include "kernels/codec/pair_ops_internal.h"
#include "kernels/codec/polar_ops_internal.h"
#include "kernels/codec/rans_internal.h"
#include "kernels/codec/rotation_ops_internal.h"
#include "kernels/codec/sketch_ops_internal.h"
#include "kernels/codec/symbol_ops_internal.h"
#include "kernels/codec/vector_ops_internal.h"

namespace larder {

const AffineOps& SimdAffineOps(ElementType type) { return AffineOpsOf(Isa::kScalar, type); }
const CodebookOps& SimdCodebookOps() { return CodebookOpsOf(Isa::kScalar); }
const Fp8Ops& SimdFp8Ops() { return Fp8OpsOf(Isa::kScalar); }
const GgmlOps& SimdGgmlOps() { return GgmlOpsOf(Isa::kScalar); }
const PackingOps& SimdPackingOps() { return PackingOpsOf(Isa::kScalar); }
const PairOps& SimdPairOps() { return PairOpsOf(Isa::kScalar); }
const PolarOps& SimdPolarOps() { return PolarOpsOf(Isa::kScalar); }
const RansOps& SimdRansOps() { return RansOpsOf(Isa::kScalar); }
const RotationOps& SimdRotationOps() { return RotationOpsOf(Isa::kScalar); }
const SketchOps& SimdSketchOps() { return SketchOpsOf(Isa::kScalar); }
const SymbolOps& SimdSymbolOps() { return SymbolOpsOf(Isa::kScalar); }
const VectorOps& SimdVectorOps() { return VectorOpsOf(Isa::kScalar); }

}  // namespace larder
