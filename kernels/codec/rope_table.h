// Cosine and sine of a RoPE rotation for a run of positions, for turning keys back to position 0 and
// forth again.
//
// angle(p, j) = p * frequency_j, frequency_j = theta^(-2j / rotary_dim), scaled as `scaling` says;
// an attention factor a multiplies both (post = a R pre). Computed in double with portable_math, then
// rounded to fp32: equal bits on every machine. A table whose parameters differ from the engine's
// still decodes to what was stored, because the same table turns back and forth; it only compresses
// less.
// Source: RoFormer (2021) for the rotation; the Llama 3.1 model card for kLlama3 with its published
// constants (low 1, high 4, 8192 original positions); NTK-aware scaling theta * s^(d / (d - 2)).
// Immutable after construction: thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/codec/codec_params.h"

namespace larder {

class RopeTable {
 public:
  // `params` names a valid rotation (CheckParams in registry.h). Positions [begin, begin + tokens);
  // the end is at most kRopePositionsMax.
  RopeTable(const CodecParams& params, uint64_t begin, uint32_t tokens);

  uint32_t pairs() const { return pairs_; }
  bool interleaved() const { return interleaved_; }
  float attention_factor() const { return attention_factor_; }
  // pairs() values for the position begin + token.
  const float* Cosines(uint32_t token) const { return cosines_.data() + size_t{token} * pairs_; }
  const float* Sines(uint32_t token) const { return sines_.data() + size_t{token} * pairs_; }
  // Of the turn back: the sines negated.
  const float* SinesBack(uint32_t token) const {
    return sines_back_.data() + size_t{token} * pairs_;
  }

 private:
  uint32_t pairs_;
  bool interleaved_;
  float attention_factor_;
  std::vector<float> cosines_;  // [token][pair]
  std::vector<float> sines_;
  std::vector<float> sines_back_;
};

inline constexpr uint64_t kRopePositionsMax = uint64_t{1} << 24;  // PortableSineCosine's range

// Whether a table may hold the positions [begin, begin + tokens), whatever the numbers.
constexpr bool RopeReaches(uint64_t begin, uint32_t tokens) {
  return tokens <= kRopePositionsMax && begin <= kRopePositionsMax - tokens;
}

// Frequencies of the pairs in radians per position.
std::vector<double> RopeFrequencies(const CodecParams& params);

}  // namespace larder
