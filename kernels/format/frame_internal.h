// What frame_build.cc, frame_view.cc and frame_verify.cc share; included by nothing else.
#pragma once

// On x86 libxxhash picks AVX2 or AVX-512 at run time through this header; the plain calls stay at
// SSE2. Same results.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <bit>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include "kernels/format/frame.h"

namespace larder {

// The structs are copied in and out as they stand: the host must be little-endian, and no byte of
// them may be compiler padding.
static_assert(std::endian::native == std::endian::little);
static_assert(std::has_unique_object_representations_v<FrameHeader>);
static_assert(std::has_unique_object_representations_v<CodecDescriptor>);
static_assert(std::has_unique_object_representations_v<StreamEntry>);

// Streaming form of ChecksumOf: Update any number of times, then Digest; Reset starts the next one.
// The state lives on the heap because its size is not part of libxxhash's ABI.
class ChecksumStream {
 public:
  ChecksumStream() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    Reset();
  }
  void Reset() { XXH3_128bits_reset(state_.get()); }
  void Update(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  Checksum128 Digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

template <typename Byte>
bool AllZero(std::span<const Byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](Byte byte) { return byte == Byte{0}; });
}

}  // namespace larder
