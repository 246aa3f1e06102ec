#include "kernels/copy/block_copy.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace larder {
namespace {

// Below this the string instruction's start costs more than it saves.
constexpr size_t kStringCopyMin = 16 * 1024;
// Below this the other side would rather find the bytes in a cache than in memory.
constexpr size_t kStreamCopyMin = 16 * 1024;

#if defined(__x86_64__)
constexpr size_t kLineBytes = 64;
// How far ahead of the copy the source is asked for.
constexpr size_t kAheadBytes = 1024;

enum class Ahead { kNone, kOnce, kKeep };  // what to ask for, and whether it is read again

// Whole lines. SSE2, which every x86-64 has: what goes to memory or comes from it waits for that, not for wider registers.
template <auto kStoreWord, Ahead kAhead>
void CopyLines(std::byte* target, const std::byte* source, size_t bytes) {
  constexpr size_t kWords = kLineBytes / sizeof(__m128i);
  for (size_t at = 0; at < bytes; at += kLineBytes) {
    const char* const ahead = reinterpret_cast<const char*>(source + at) + kAheadBytes;
    if constexpr (kAhead == Ahead::kOnce) _mm_prefetch(ahead, _MM_HINT_NTA);
    if constexpr (kAhead == Ahead::kKeep) _mm_prefetch(ahead, _MM_HINT_T0);
    const auto* const from = reinterpret_cast<const __m128i*>(source + at);
    auto* const to = reinterpret_cast<__m128i*>(target + at);
    __m128i line[kWords];
    for (size_t word = 0; word < kWords; ++word) line[word] = _mm_loadu_si128(from + word);
    for (size_t word = 0; word < kWords; ++word) kStoreWord(to + word, line[word]);
  }
}

// Whole lines past the caches, where `target` has them; the rest as usual.
template <Ahead kAhead>
void StreamLines(std::byte* target, const std::byte* source, size_t bytes) {
  const size_t head = std::min<size_t>(-reinterpret_cast<uintptr_t>(target) % kLineBytes, bytes);
  const size_t lines = (bytes - head) / kLineBytes * kLineBytes;
  std::memcpy(target, source, head);
  CopyLines<_mm_stream_si128, kAhead>(target + head, source + head, lines);
  std::memcpy(target + head + lines, source + head + lines, bytes - head - lines);
}
#endif

}  // namespace

void CopyBlock(std::byte* target, const std::byte* source, size_t bytes) {
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (bytes >= kStringCopyMin) {
    asm volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(bytes) : : "memory");
    return;
  }
#endif
  std::memcpy(target, source, bytes);
}

void StreamBlock(std::byte* target, const std::byte* source, size_t bytes) {
#if defined(__x86_64__)
  if (bytes >= kStreamCopyMin) {
    StreamLines<Ahead::kOnce>(target, source, bytes);
    EndStreaming();  // what is told after the copy must not be seen before it
    return;
  }
#endif
  std::memcpy(target, source, bytes);
}

void StreamThrough(std::byte* target, std::byte* bounce, const std::byte* source, size_t bytes) {
#if defined(__x86_64__)
  const size_t lines = bytes / kLineBytes * kLineBytes;
  CopyLines<_mm_storeu_si128, Ahead::kKeep>(bounce, source, lines);
  std::memcpy(bounce + lines, source + lines, bytes - lines);
  StreamLines<Ahead::kNone>(target, bounce, bytes);
#else
  std::memcpy(bounce, source, bytes);
  asm volatile("" : : : "memory");  // else the compiler may read the source once more
  std::memcpy(target, bounce, bytes);
#endif
}

void EndStreaming() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace larder
