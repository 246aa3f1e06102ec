#include "kernels/codec/polar_rope_quantiser.h"

#include <algorithm>
#include <cstring>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/pair_ops.h"
#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

constexpr size_t kRuns = 4;  // of a group's ranges
constexpr float kBins = 16;

uint64_t GroupBytes(TileShape shape) { return uint64_t{shape.head_dim} / 2 * kRuns * 2; }

uint64_t RangeBytes(TileShape shape) {
  const uint64_t groups = (uint64_t{shape.tokens} + kPolarRopeGroup - 1) / kPolarRopeGroup;
  return groups * GroupBytes(shape);
}

PairRanges RangesAt(const float* runs, size_t pairs) {
  return {runs, runs + pairs, runs + 2 * pairs, runs + 3 * pairs};
}

// Largest values to steps; least values and steps to what fp16 holds; false beyond it.
bool RoundRanges(size_t pairs, float* least, float* step) {
  for (size_t j = 0; j < pairs; ++j) {
    if (!(step[j] <= kFp16Max)) return false;
    step[j] = FloatOfFp16(Fp16OfFloat((step[j] - least[j]) / kBins));
    least[j] = FloatOfFp16(Fp16OfFloat(least[j]));
  }
  return true;
}

}  // namespace

bool PolarRopeQuantiser::Accepts(const CodecParams& params, TileShape) const {
  return params.bits == 4 && params.variant == 0 && params.group == kPolarRopeGroup &&
         params.boosted == 0;
}

uint64_t PolarRopeQuantiser::Bytes(const CodecParams&, TileShape shape) const {
  return AlignTile(RangeBytes(shape)) + shape.elements() / 2;
}

bool PolarRopeQuantiser::Encode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                float* rows, std::byte* out) const {
  const size_t dim = context.shape.head_dim, pairs = dim / 2;
  const uint64_t range_bytes = RangeBytes(context.shape), codes_begin = AlignTile(range_bytes);
  if (begin == 0) std::memset(out + range_bytes, 0, codes_begin - range_bytes);
  const PairOps& ops = PairOpsOf(context.isa);
  const VectorOps& vectors = VectorOpsOf(context.isa);
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), kPolarRopeGroup * dim + kRuns * pairs));
  float* radii = scratch.data();
  float* angles = radii + kPolarRopeGroup * pairs;
  float* runs = angles + kPolarRopeGroup * pairs;
  for (uint32_t done = 0; done < count; done += kPolarRopeGroup) {
    const uint32_t first = begin + done;
    const size_t some = std::min<size_t>(kPolarRopeGroup, count - done);
    // Least and largest values would hide what is not a number.
    if (!(vectors.max_magnitude(rows + done * dim, some * dim) <= kFp16Max)) return false;
    for (size_t i = 0; i < some; ++i) {
      ops.split(rows + (done + i) * dim, pairs, radii + i * pairs, angles + i * pairs);
    }
    ops.unwrap(angles, some, pairs);
    ops.range(radii, some, pairs, runs, runs + pairs);
    ops.range(angles, some, pairs, runs + 2 * pairs, runs + 3 * pairs);
    if (!RoundRanges(pairs, runs, runs + pairs)) return false;
    if (!RoundRanges(pairs, runs + 2 * pairs, runs + 3 * pairs)) return false;
    vectors.narrow_fp16(
        runs,
        reinterpret_cast<uint16_t*>(out + first / kPolarRopeGroup * GroupBytes(context.shape)),
        kRuns * pairs);
    for (size_t i = 0; i < some; ++i) {
      ops.encode(radii + i * pairs, angles + i * pairs, pairs, RangesAt(runs, pairs),
                 reinterpret_cast<uint8_t*>(out) + codes_begin + (first + i) * pairs);
    }
  }
  return true;
}

void PolarRopeQuantiser::Decode(const QuantiserContext& context, uint32_t begin, uint32_t count,
                                const std::byte* in, float* rows) const {
  const size_t dim = context.shape.head_dim, pairs = dim / 2;
  const uint64_t codes_begin = AlignTile(RangeBytes(context.shape));
  const PairOps& ops = PairOpsOf(context.isa);
  std::vector<float>& scratch = context.workspace.scratch;
  scratch.resize(std::max(scratch.size(), kRuns * pairs));
  for (uint32_t done = 0; done < count; done += kPolarRopeGroup) {
    const uint32_t first = begin + done;
    const size_t some = std::min<size_t>(kPolarRopeGroup, count - done);
    VectorOpsOf(context.isa)
        .widen_fp16(reinterpret_cast<const uint16_t*>(in + first / kPolarRopeGroup *
                                                               GroupBytes(context.shape)),
                    scratch.data(), kRuns * pairs);
    for (size_t i = 0; i < some; ++i) {
      ops.decode(reinterpret_cast<const uint8_t*>(in) + codes_begin + (first + i) * pairs, pairs,
                 RangesAt(scratch.data(), pairs), rows + (done + i) * dim);
    }
  }
}

}  // namespace larder
