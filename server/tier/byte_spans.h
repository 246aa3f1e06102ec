// Memory in pieces, in order: a slab's, or part of it. Values; whoever gives the spans owns the memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "absl/container/inlined_vector.h"

namespace larder::server {

using ByteSpans = absl::InlinedVector<std::span<std::byte>, 4>;

inline uint64_t BytesOf(const ByteSpans& spans) {
  uint64_t bytes = 0;
  for (const auto span : spans) bytes += span.size();
  return bytes;
}

// In all of these the spans hold at least the bytes that are named.

// Scatters bytes over the front of the spans; returns how many.
inline size_t CopyInto(const ByteSpans& spans, std::span<const std::byte> bytes) {
  size_t copied = 0;
  for (size_t i = 0; copied < bytes.size(); ++i) {
    const size_t step = std::min(spans[i].size(), bytes.size() - copied);
    std::memcpy(spans[i].data(), bytes.data() + copied, step);
    copied += step;
  }
  return copied;
}

// Gathers bytes from the front of the spans.
inline void CopyOut(const ByteSpans& spans, std::span<std::byte> bytes) {
  for (size_t i = 0, copied = 0; copied < bytes.size(); ++i) {
    const size_t step = std::min(spans[i].size(), bytes.size() - copied);
    std::memcpy(bytes.data() + copied, spans[i].data(), step);
    copied += step;
  }
}

// The spans from `offset` on.
inline ByteSpans Behind(const ByteSpans& spans, uint64_t offset) {
  ByteSpans behind;
  for (const auto& span : spans) {
    const uint64_t skipped = std::min<uint64_t>(offset, span.size());
    offset -= skipped;
    if (skipped < span.size()) behind.push_back(span.subspan(skipped));
  }
  return behind;
}

}  // namespace larder::server
