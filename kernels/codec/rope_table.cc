#include "kernels/codec/rope_table.h"

#include "kernels/codec/portable_math.h"

namespace larder {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// Slow rotations, which see less than one turn in the original context, are stretched by the factor;
// fast ones stay; those between are blended.
double Llama3Frequency(double frequency, double factor) {
  constexpr double kLow = 1.0, kHigh = 4.0, kOriginalPositions = 8192.0;
  const double turns = kOriginalPositions * frequency / kTwoPi;
  if (turns < kLow) return frequency / factor;
  if (turns > kHigh) return frequency;
  const double smooth = (turns - kLow) / (kHigh - kLow);
  return (1.0 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

std::vector<double> RopeFrequencies(const CodecParams& params) {
  const double dim = params.rope_rotary_dim;
  const double factor = params.rope_scaling_factor;
  const auto scaling = static_cast<RopeScaling>(params.rope_scaling);
  double log_theta = PortableLog(params.rope_theta);
  if (scaling == RopeScaling::kNtk) log_theta += PortableLog(factor) * dim / (dim - 2);
  std::vector<double> frequencies(params.rope_rotary_dim / 2);
  for (size_t j = 0; j < frequencies.size(); ++j) {
    const double frequency = PortableExp(-2.0 * static_cast<double>(j) / dim * log_theta);
    frequencies[j] = scaling == RopeScaling::kLinear   ? frequency / factor
                     : scaling == RopeScaling::kLlama3 ? Llama3Frequency(frequency, factor)
                                                       : frequency;
  }
  return frequencies;
}

RopeTable::RopeTable(const CodecParams& params, uint64_t begin, uint32_t tokens)
    : pairs_(params.rope_rotary_dim / 2),
      interleaved_(params.rope_pairing == 2),
      attention_factor_(params.rope_attention_factor),
      cosines_(size_t{tokens} * pairs_),
      sines_(size_t{tokens} * pairs_),
      sines_back_(size_t{tokens} * pairs_) {
  const std::vector<double> frequencies = RopeFrequencies(params);
  // Within a run each step is a complex product in double; a run is short enough that the error
  // stays far below an fp32 ulp.
  constexpr uint32_t kRun = 64;
  for (uint32_t pair = 0; pair < pairs_; ++pair) {
    const SineCosine step = PortableSineCosine(frequencies[pair]);
    SineCosine at{};
    for (uint32_t token = 0; token < tokens; ++token) {
      if (token % kRun == 0) {
        at = PortableSineCosine(static_cast<double>(begin + token) * frequencies[pair]);
      } else {
        at = {at.sine * step.cosine + at.cosine * step.sine,
              at.cosine * step.cosine - at.sine * step.sine};
      }
      cosines_[size_t{token} * pairs_ + pair] = static_cast<float>(at.cosine);
      sines_[size_t{token} * pairs_ + pair] = static_cast<float>(at.sine);
      sines_back_[size_t{token} * pairs_ + pair] = -static_cast<float>(at.sine);
    }
  }
}

}  // namespace larder
