// The table of exponent frequencies in front of a lossless stream, as bytes: what lossless_codec.cc and device code share.
// kernels/codec/FORMAT.md has the layout. std-only; device code includes it. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/codec/number_formats.h"
#include "kernels/codec/rans_frequencies.h"

namespace larder {

inline constexpr uint32_t kExponentsMax = 256;
// [first][last], then 4 bits and at most 12 for each symbol, zero to a multiple of 4.
inline constexpr uint32_t kExponentTableBytesMax = 2 + kExponentsMax * 2 + 2;

// The frequency of each symbol of [first, first + size).
struct ExponentTable {
  uint32_t first = 0;
  uint32_t size = 0;
  uint32_t frequencies[kExponentsMax];
};

// Bits are filled from the lowest of the first byte on.
class BitWriter {
 public:
  LARDER_HOST_DEVICE explicit BitWriter(uint8_t* out) : out_(out) {}
  LARDER_HOST_DEVICE void Put(uint32_t value, unsigned bits) {
    for (unsigned bit = 0; bit < bits; ++bit, ++at_) {
      if (at_ % 8 == 0) out_[at_ / 8] = 0;
      out_[at_ / 8] |= static_cast<uint8_t>((value >> bit & 1) << (at_ % 8));
    }
  }
  LARDER_HOST_DEVICE uint32_t bytes() const { return (at_ + 7) / 8; }

 private:
  uint8_t* out_;
  uint32_t at_ = 0;
};

class BitReader {
 public:
  LARDER_HOST_DEVICE BitReader(const uint8_t* in, size_t size) : in_(in), size_(size) {}
  // 0 beyond the end, which overrun() tells.
  LARDER_HOST_DEVICE uint32_t Take(unsigned bits) {
    uint32_t value = 0;
    for (unsigned bit = 0; bit < bits; ++bit, ++at_) {
      if (at_ / 8 < size_) value |= (in_[at_ / 8] >> (at_ % 8) & 1u) << bit;
    }
    return value;
  }
  LARDER_HOST_DEVICE bool overrun() const { return at_ > size_ * 8; }
  LARDER_HOST_DEVICE uint32_t bytes() const { return (at_ + 7) / 8; }

 private:
  const uint8_t* in_;
  size_t size_;
  uint32_t at_ = 0;
};

LARDER_HOST_DEVICE inline unsigned WidthOfFrequency(uint32_t frequency) {
  unsigned width = 0;
  while (frequency >> width != 0) ++width;
  return width;
}

// From the count of every symbol, not all 0.
LARDER_HOST_DEVICE inline void MakeExponentTable(const uint64_t* counts, ExponentTable& table) {
  uint32_t last = kExponentsMax - 1;
  table.first = 0;
  while (counts[table.first] == 0) ++table.first;
  while (counts[last] == 0) --last;
  table.size = last - table.first + 1;
  NormaliseCounts(counts + table.first, table.size, table.frequencies);
}

// Returns the bytes written to `out`, at most kExponentTableBytesMax, a multiple of 4.
LARDER_HOST_DEVICE inline uint32_t WriteExponentTable(const ExponentTable& table, uint8_t* out) {
  BitWriter writer(out);
  writer.Put(table.first, 8);
  writer.Put(table.first + table.size - 1, 8);
  for (uint32_t i = 0; i < table.size; ++i) {
    const unsigned width = WidthOfFrequency(table.frequencies[i]);
    writer.Put(width, 4);
    if (width > 1) writer.Put(table.frequencies[i], width - 1);  // without the leading one
  }
  const uint32_t bytes = (writer.bytes() + 3) / 4 * 4;
  for (uint32_t i = writer.bytes(); i < bytes; ++i) out[i] = 0;
  return bytes;
}

// Bytes of the table at the begin of `in`; 0 when it is not one that WriteExponentTable writes for symbols below
// `symbols`. Never reads beyond `size` bytes.
LARDER_HOST_DEVICE inline uint32_t ReadExponentTable(const uint8_t* in, size_t size,
                                                     uint32_t symbols, ExponentTable& table) {
  BitReader reader(in, size);
  table.first = reader.Take(8);
  const uint32_t last = reader.Take(8);
  if (last < table.first || last >= symbols) return 0;
  table.size = last - table.first + 1;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < table.size; ++i) {
    const unsigned width = reader.Take(4);
    if (width > kRansScaleBits + 1) return 0;
    uint32_t frequency = width == 0 ? 0 : 1u << (width - 1);
    if (width > 1) frequency |= reader.Take(width - 1);
    table.frequencies[i] = frequency;
    sum += frequency;
  }
  // No symbols around those that occur.
  if (table.frequencies[0] == 0 || table.frequencies[table.size - 1] == 0) return 0;
  const uint32_t bytes = (reader.bytes() + 3) / 4 * 4;
  return sum != kRansScale || reader.overrun() || bytes > size ? 0 : bytes;
}

}  // namespace larder
