#include "kernels/codec/row_rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/codec/rotation_ops.h"
#include "kernels/codec/sketch_ops.h"

namespace larder {
namespace {

constexpr uint32_t kRowsAtOnce = 16;  // of a product with a matrix

// Calls `code(begin, part)` for the parts of the binary decomposition of `dim`, largest first.
template <typename Code>
void ForEachPart(uint32_t dim, const Code& code) {
  for (uint32_t begin = 0; begin < dim;) {
    const uint32_t part = std::bit_floor(dim - begin);
    code(begin, part);
    begin += part;
  }
}

}  // namespace

void RowRotation::Prepare(RotationKind kind, uint64_t seed, uint32_t dim) {
  if (kind == kind_ && seed == seed_ && dim == dim_) return;
  kind_ = kind;
  seed_ = seed;
  dim_ = dim;
  if (kind == RotationKind::kHaar) {
    matrix_ = FindHaarMatrix(seed, dim);
    return;
  }
  factors_.resize(dim);
  factors_back_.resize(dim);
  for (uint32_t i = 0; i < dim; ++i) {
    const auto signs = static_cast<uint32_t>(SeededWord(seed, i / 32));
    factors_[i] = ((signs >> (i % 32)) & 1) != 0 ? -1.0f : 1.0f;
  }
  ForEachPart(dim, [&](uint32_t begin, uint32_t part) {
    const float length = std::sqrt(static_cast<float>(part) * static_cast<float>(dim));
    for (uint32_t i = begin; i < begin + part; ++i)
      factors_back_[i] = factors_[i] * (1.0f / length);
  });
  permutation_.clear();
  if (std::has_single_bit(dim)) return;
  permutation_.resize(dim);
  for (uint32_t i = 0; i < dim; ++i) permutation_[i] = i;
  for (uint32_t i = dim - 1; i > 0; --i) {  // Fisher and Yates
    std::swap(permutation_[i], permutation_[SeededWord(seed, 0x10000u + i) % (i + 1)]);
  }
}

void RowRotation::Permute(float* row, bool back) {
  scratch_.resize(std::max<size_t>(scratch_.size(), dim_));
  std::memcpy(scratch_.data(), row, size_t{dim_} * sizeof(float));
  for (uint32_t i = 0; i < dim_; ++i) {
    if (back) {
      row[permutation_[i]] = scratch_[i];
    } else {
      row[i] = scratch_[permutation_[i]];
    }
  }
}

void RowRotation::Multiply(Isa isa, const float* matrix, float* rows, uint32_t count) {
  scratch_.resize(std::max<size_t>(scratch_.size(), size_t{kRowsAtOnce} * dim_));
  for (uint32_t begin = 0; begin < count; begin += kRowsAtOnce) {
    const uint32_t some = std::min(kRowsAtOnce, count - begin);
    float* part = rows + size_t{begin} * dim_;
    std::memcpy(scratch_.data(), part, size_t{some} * dim_ * sizeof(float));
    SketchOpsOf(isa).multiply({matrix, dim_, dim_, scratch_.data(), part, some});
  }
}

void RowRotation::Rotate(Isa isa, float* rows, uint32_t count) {
  if (kind_ == RotationKind::kHaar) return Multiply(isa, matrix_->forward(), rows, count);
  if (!permutation_.empty()) {
    for (uint32_t i = 0; i < count; ++i) Permute(rows + size_t{i} * dim_, /*back=*/false);
  }
  ForEachPart(dim_, [&](uint32_t begin, uint32_t part) {
    RotationOpsOf(isa).rotate({rows + begin, count, dim_, part}, factors_.data() + begin);
    if (part == dim_) return;
    const float factor = std::sqrt(static_cast<float>(dim_) / static_cast<float>(part));
    for (uint32_t i = 0; i < count; ++i) {
      VectorOpsOf(isa).scale(rows + size_t{i} * dim_ + begin, part, factor);
    }
  });
}

void RowRotation::RotateBack(Isa isa, float* rows, uint32_t count) {
  if (kind_ == RotationKind::kHaar) return Multiply(isa, matrix_->back(), rows, count);
  ForEachPart(dim_, [&](uint32_t begin, uint32_t part) {
    RotationOpsOf(isa).rotate_back({rows + begin, count, dim_, part}, factors_back_.data() + begin);
  });
  if (permutation_.empty()) return;
  for (uint32_t i = 0; i < count; ++i) Permute(rows + size_t{i} * dim_, /*back=*/true);
}

}  // namespace larder
