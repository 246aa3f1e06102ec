#include "kernels/codec/rans.h"

namespace larder {

void NormaliseFrequencies(std::span<const uint64_t> counts, uint32_t* frequencies) {
  NormaliseCounts(counts.data(), static_cast<uint32_t>(counts.size()), frequencies);
}

void FillRansSlots(std::span<const uint32_t> frequencies, uint8_t first, uint32_t* slots) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const uint32_t frequency = frequencies[i];
    for (uint32_t bias = 0; bias < frequency; ++bias) {
      *slots++ = RansSlot(first + static_cast<uint32_t>(i), frequency, bias);
    }
  }
}

void FillRansRanges(std::span<const uint32_t> frequencies, uint32_t* ranges,
                    uint32_t* reciprocals) {
  uint32_t start = 0;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const uint32_t frequency = frequencies[i];
    ranges[i] = start | frequency << kRansScaleBits;
    reciprocals[i] = RansReciprocal(frequency);
    start += frequency;
  }
}

}  // namespace larder
