// The oracle of rotation_ops_simd.cc.
#include "kernels/codec/rotation_ops.h"
#include "kernels/codec/rotation_ops_internal.h"

namespace larder {
namespace {

void Rotate(const RowParts& rows, const float* factors) {
  for (size_t row = 0; row < rows.count; ++row) {
    float* values = rows.first + row * rows.stride;
    for (size_t i = 0; i < rows.part; ++i) values[i] *= factors[i];
    VectorOpsOf(Isa::kScalar).hadamard(values, rows.part);
  }
}

void RotateBack(const RowParts& rows, const float* factors) {
  for (size_t row = 0; row < rows.count; ++row) {
    float* values = rows.first + row * rows.stride;
    VectorOpsOf(Isa::kScalar).hadamard(values, rows.part);
    for (size_t i = 0; i < rows.part; ++i) values[i] *= factors[i];
  }
}

constexpr RotationOps kScalarOps = {.rotate = Rotate, .rotate_back = RotateBack};

}  // namespace

const RotationOps& RotationOpsOf(Isa isa) {
  return isa == Isa::kScalar ? kScalarOps : SimdRotationOps();
}

}  // namespace larder
