// Eight consecutive codes to packed bytes and back, as packing.h lays them out: a chunk's codes are `bits` bytes, which no
// other chunk shares. Device twin of packing_scalar.cc.
#pragma once

#include "kernels/codec/device/tile_rows.cuh"

namespace larder {

// Codes 8 chunk to 8 chunk + 7 of `packed`, which is aligned to 4 bytes.
template <unsigned kBits>
LARDER_HOST_DEVICE void PackChunk(const uint32_t* codes, uint64_t chunk, uint8_t* packed) {
  if constexpr (kBits == 3 || kBits == 5) {
    for (uint32_t plane = 0; plane < kBits; ++plane) {
      uint32_t byte = 0;
      for (uint32_t i = 0; i < kChunk; ++i) byte |= (codes[i] >> plane & 1) << i;
      packed[(chunk / 4 * kBits + plane) * 4 + chunk % 4] = static_cast<uint8_t>(byte);
    }
  } else if constexpr (kBits == 8) {
    for (uint32_t half = 0; half < 2; ++half) {  // `packed` may be a multiple of 4 only
      uint32_t word = 0;
      for (uint32_t i = 0; i < 4; ++i) word |= codes[half * 4 + i] << (8 * i);
      StoreWord(word, packed + chunk * 8 + half * 4);
    }
  } else {
    uint32_t word = 0;
    for (uint32_t i = 0; i < kChunk; ++i) word |= codes[i] << (kBits * i);
    if constexpr (kBits == 4) StoreWord(word, packed + chunk * 4);
    if constexpr (kBits == 2) StoreWord(static_cast<uint16_t>(word), packed + chunk * 2);
    if constexpr (kBits == 1) StoreWord(static_cast<uint8_t>(word), packed + chunk);
  }
}

template <unsigned kBits>
LARDER_HOST_DEVICE void UnpackChunk(const uint8_t* packed, uint64_t chunk, uint32_t* codes) {
  if constexpr (kBits == 3 || kBits == 5) {
    for (uint32_t i = 0; i < kChunk; ++i) codes[i] = 0;
    for (uint32_t plane = 0; plane < kBits; ++plane) {
      const uint32_t byte = packed[(chunk / 4 * kBits + plane) * 4 + chunk % 4];
      for (uint32_t i = 0; i < kChunk; ++i) codes[i] |= (byte >> i & 1) << plane;
    }
  } else if constexpr (kBits == 8) {
    for (uint32_t half = 0; half < 2; ++half) {
      const auto word = LoadWord<uint32_t>(packed + chunk * 8 + half * 4);
      for (uint32_t i = 0; i < 4; ++i) codes[half * 4 + i] = word >> (8 * i) & 0xFF;
    }
  } else {
    uint32_t word;
    if constexpr (kBits == 4) word = LoadWord<uint32_t>(packed + chunk * 4);
    if constexpr (kBits == 2) word = LoadWord<uint16_t>(packed + chunk * 2);
    if constexpr (kBits == 1) word = packed[chunk];
    for (uint32_t i = 0; i < kChunk; ++i) codes[i] = word >> (kBits * i) & ((1u << kBits) - 1);
  }
}

}  // namespace larder
