#include "kernels/codec/tile_transform.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/codec/number_formats.h"

namespace larder {
namespace {

const uint16_t* Elements(const std::byte* row) { return reinterpret_cast<const uint16_t*>(row); }
uint16_t* Elements(std::byte* row) { return reinterpret_cast<uint16_t*>(row); }

}  // namespace

TileTransform::TileTransform(const TileContext& context, TileShape shape, Workspace& workspace)
    : context_(context),
      shape_(shape),
      workspace_(workspace),
      ops_(VectorOpsOf(context.isa)),
      centre_((context.params.transform & kTransformCentre) != 0),
      rotate_((context.params.transform & (kTransformRotate | kTransformHaar)) != 0) {
  if (!rotate_) return;
  // A Haar matrix is one for all layers: it takes milliseconds to build.
  if ((context.params.transform & kTransformHaar) != 0) {
    workspace.rotation.Prepare(RotationKind::kHaar, context.params.seed, shape.head_dim);
  } else {
    workspace.rotation.Prepare(RotationKind::kHadamard,
                               SeededWord(context.params.seed, context.layer), shape.head_dim);
  }
}

bool TileTransform::TurnsWholeBf16Rows() const {
  return context_.dtype == Dtype::kBf16 && context_.rope != nullptr &&
         !context_.rope->interleaved() && context_.rope->pairs() * 2 == shape_.head_dim &&
         context_.rope->attention_factor() == 1.0f;
}

void TileTransform::Load(const SourceRows& source, uint32_t begin, uint32_t count,
                         float* rows) const {
  const RopeTable* rope = context_.rope;
  const uint32_t dim = shape_.head_dim;
  if (TurnsWholeBf16Rows()) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t position = context_.rope_begin + begin + i;
      ops_.widen_turn_bf16(Elements(source.Row(begin + i)),
                           {rope->Cosines(position), rope->SinesBack(position)}, rope->pairs(),
                           rows + size_t{i} * dim);
    }
    return;
  }
  const auto widen = context_.dtype == Dtype::kBf16 ? ops_.widen_bf16 : ops_.widen_fp16;
  if (source.pages == nullptr && source.token_stride == ptrdiff_t{dim} * 2) {
    widen(Elements(source.Row(begin)), rows, size_t{count} * dim);
  } else {
    for (uint32_t i = 0; i < count; ++i) {
      widen(Elements(source.Row(begin + i)), rows + size_t{i} * dim, dim);
    }
  }
  if (rope == nullptr) return;
  const float factor = 1.0f / rope->attention_factor();
  for (uint32_t i = 0; i < count; ++i) {
    float* row = rows + size_t{i} * dim;
    const uint32_t position = context_.rope_begin + begin + i;
    ops_.turn_pairs(row, rope->Cosines(position), rope->SinesBack(position), rope->pairs(),
                    rope->interleaved());
    if (factor != 1.0f) ops_.scale(row, size_t{rope->pairs()} * 2, factor);
  }
}

bool TileTransform::Centre(float* rows, std::byte* mean) const {
  const uint32_t dim = shape_.head_dim;
  workspace_.scratch.assign(dim, 0.0f);
  float* sums = workspace_.scratch.data();
  ops_.sum_columns(rows, shape_.tokens, dim, sums);
  for (uint32_t i = 0; i < dim; ++i) {
    const float average = sums[i] / static_cast<float>(shape_.tokens);
    if (!(std::fabs(average) <= kFp16Max)) return false;
    const uint16_t stored = Fp16OfFloat(average);
    std::memcpy(mean + size_t{i} * 2, &stored, 2);
    sums[i] = FloatOfFp16(stored);
  }
  ops_.add_columns(rows, shape_.tokens, dim, sums, -1.0f);
  return true;
}

void TileTransform::Rotate(float* rows, uint32_t count) const {
  if (rotate_) workspace_.rotation.Rotate(context_.isa, rows, count);
}

void TileTransform::Restore(float* rows, uint32_t begin, uint32_t count, const std::byte* mean,
                            const TargetRows& target) const {
  const uint32_t dim = shape_.head_dim;
  if (rotate_) workspace_.rotation.RotateBack(context_.isa, rows, count);
  const RopeTable* rope = context_.rope;
  const float* means = nullptr;
  if (centre_) {
    workspace_.scratch.resize(std::max<size_t>(workspace_.scratch.size(), dim));
    ops_.widen_fp16(reinterpret_cast<const uint16_t*>(mean), workspace_.scratch.data(), dim);
    means = workspace_.scratch.data();
  }
  if (TurnsWholeBf16Rows()) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t position = context_.rope_begin + begin + i;
      ops_.turn_narrow_bf16(rows + size_t{i} * dim, means,
                            {rope->Cosines(position), rope->Sines(position)}, rope->pairs(),
                            Elements(target.Row(begin + i)));
    }
    return;
  }
  if (centre_) ops_.add_columns(rows, count, dim, means, 1.0f);
  const auto narrow = context_.dtype == Dtype::kBf16 ? ops_.narrow_bf16 : ops_.narrow_fp16;
  for (uint32_t i = 0; i < count; ++i) {
    float* row = rows + size_t{i} * dim;
    if (rope != nullptr) {
      if (rope->attention_factor() != 1.0f) {
        ops_.scale(row, size_t{rope->pairs()} * 2, rope->attention_factor());
      }
      const uint32_t position = context_.rope_begin + begin + i;
      ops_.turn_pairs(row, rope->Cosines(position), rope->Sines(position), rope->pairs(),
                      rope->interleaved());
    }
    narrow(row, Elements(target.Row(begin + i)), dim);
  }
}

}  // namespace larder
