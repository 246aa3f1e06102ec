#include "kernels/codec/rans.h"

namespace larder {

void NormaliseFrequencies(std::span<const uint64_t> counts, uint32_t* frequencies) {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  uint32_t sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto share = static_cast<uint32_t>(counts[i] * kRansScale / total);
    frequencies[i] = counts[i] > 0 && share == 0 ? 1 : share;
    sum += frequencies[i];
  }
  // From f to f + 1 saves about count / (f + 1/2): compare these quotients as products.
  for (; sum < kRansScale; ++sum) {
    size_t best = 0;
    for (size_t i = 1; i < counts.size(); ++i) {
      if (counts[i] * (2 * frequencies[best] + 1) > counts[best] * (2 * frequencies[i] + 1)) {
        best = i;
      }
    }
    ++frequencies[best];
  }
  for (; sum > kRansScale; --sum) {
    size_t best = counts.size();
    for (size_t i = 0; i < counts.size(); ++i) {
      if (frequencies[i] < 2) continue;
      if (best == counts.size() ||
          counts[i] * (2 * frequencies[best] - 1) < counts[best] * (2 * frequencies[i] - 1)) {
        best = i;
      }
    }
    --frequencies[best];
  }
}

void FillRansSlots(std::span<const uint32_t> frequencies, uint8_t first, uint32_t* slots) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const uint32_t frequency = frequencies[i];
    const uint32_t entry = ((first + static_cast<uint32_t>(i)) & 0xFF) | (frequency - 1) << 8;
    for (uint32_t bias = 0; bias < frequency; ++bias) *slots++ = entry | bias << 20;
  }
}

void FillRansRanges(std::span<const uint32_t> frequencies, uint32_t* ranges,
                    uint32_t* reciprocals) {
  uint32_t start = 0;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const uint32_t frequency = frequencies[i];
    ranges[i] = start | frequency << kRansScaleBits;
    reciprocals[i] =
        frequency < 2 ? 0xFFFFFFFFu : static_cast<uint32_t>((uint64_t{1} << 32) / frequency);
    start += frequency;
  }
}

}  // namespace larder
