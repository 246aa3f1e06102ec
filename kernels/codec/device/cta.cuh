// One CTA (a CUDA thread block) as kernel bodies see it, on the device and, thread by thread, on the host.
//
// A body is a function template over Cta: phases of Each(), between which threads may exchange values. State of a thread
// that outlives a phase is a PerThread. nvcc makes a kernel of the body with DeviceCta; any C++ compiler makes the same
// arithmetic a function with HostCta, which is how tests run device code without a device.
//
//   typename Cta::template PerThread<float> sum;
//   cta.Each([&](unsigned thread) { sum[thread] = values[thread]; });
//   cta.AddXor(8, sum);   // sum[t] += sum[t ^ 8]
//
// Rules: every thread reaches every call (loops around phases count alike in all threads); memory that one thread writes
// and another reads has a Sync() between; HostCta can not find a missing one, compute-sanitizer's racecheck can.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/codec/number_formats.h"

// LARDER_UNROLL stands before a loop whose count is a constant: arrays that it indexes stay in registers. LARDER_NOINLINE
// keeps one copy of what every kernel calls: a fifth of the compile time, and a call for each portion of rows.
#if defined(__CUDACC__)
#define LARDER_UNROLL _Pragma("unroll")
#define LARDER_NOINLINE __noinline__
#else
#define LARDER_UNROLL
#define LARDER_NOINLINE
#endif

namespace larder {

inline constexpr unsigned kCtaThreads = 256;

#if defined(__CUDACC__)
// The first warp of a CTA by itself: what FirstWarp gives its body. Takes the CTA's PerThread.
class DeviceWarp {
 public:
  template <typename Phase>
  LARDER_HOST_DEVICE void Each(Phase phase) {
#if defined(__CUDA_ARCH__)
    phase(threadIdx.x);
#endif
  }
  // Bit t is thread t's flag.
  template <typename Flags>
  LARDER_HOST_DEVICE uint32_t Ballot(Flags& flags) {
#if defined(__CUDA_ARCH__)
    return __ballot_sync(0xFFFFFFFFu, flags.value);
#else
    return 0;
#endif
  }
};

class DeviceCta {
 public:
  template <typename T>
  struct PerThread {
    T value{};
    LARDER_HOST_DEVICE T& operator[](unsigned) { return value; }
  };

  template <typename Phase>
  LARDER_HOST_DEVICE void Each(Phase phase) {
#if defined(__CUDA_ARCH__)
    phase(threadIdx.x);
#endif
  }
  LARDER_HOST_DEVICE void Sync() {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }
  // values[t] += values[t ^ mask]; `mask` is below 32.
  LARDER_HOST_DEVICE void AddXor(unsigned mask, PerThread<float>& values) {
#if defined(__CUDA_ARCH__)
    values.value += __shfl_xor_sync(0xFFFFFFFFu, values.value, mask);
#endif
  }
  // Of the two threads t and t ^ mask the lower one gets x + y, the upper one x - y, for each of N values.
  template <size_t N>
  LARDER_HOST_DEVICE void Butterfly(unsigned mask, PerThread<std::array<float, N>>& values) {
#if defined(__CUDA_ARCH__)
    LARDER_UNROLL
    for (size_t i = 0; i < N; ++i) {
      const float other = __shfl_xor_sync(0xFFFFFFFFu, values.value[i], mask);
      values.value[i] =
          (threadIdx.x & mask) != 0 ? other - values.value[i] : values.value[i] + other;
    }
#endif
  }
  // Runs body(warp) by threads 0 to 31. The caller synchronises before and after.
  template <typename Body>
  LARDER_HOST_DEVICE void FirstWarp(Body body) {
#if defined(__CUDA_ARCH__)
    if (threadIdx.x < 32) {
      DeviceWarp warp;
      body(warp);
    }
#endif
  }
  // Whether any thread's flag is set. Synchronises.
  LARDER_HOST_DEVICE bool Any(PerThread<bool>& flags) {
#if defined(__CUDA_ARCH__)
    return __syncthreads_or(flags.value) != 0;
#else
    return false;
#endif
  }
  // The largest of all threads' values. Synchronises.
  LARDER_HOST_DEVICE uint32_t Max(PerThread<uint32_t>& values) {
#if defined(__CUDA_ARCH__)
    __shared__ uint32_t warps[kCtaThreads / 32];
    const uint32_t own = __reduce_max_sync(0xFFFFFFFFu, values.value);
    __syncthreads();  // an earlier Max may still be read
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = own;
    __syncthreads();
    uint32_t max = 0;
    for (const uint32_t each : warps) max = each > max ? each : max;
    return max;
#else
    return 0;
#endif
  }
};
#endif  // defined(__CUDACC__)

class HostWarp {
 public:
  template <typename Phase>
  void Each(Phase phase) {
    for (unsigned thread = 0; thread < 32; ++thread) phase(thread);
  }
  template <typename Flags>
  uint32_t Ballot(Flags& flags) {
    uint32_t mask = 0;
    for (unsigned thread = 0; thread < 32; ++thread) mask |= uint32_t{flags[thread]} << thread;
    return mask;
  }
};

class HostCta {
 public:
  template <typename T>
  struct PerThread {
    std::array<T, kCtaThreads> values{};
    T& operator[](unsigned thread) { return values[thread]; }
  };

  template <typename Phase>
  void Each(Phase phase) {
    for (unsigned thread = 0; thread < kCtaThreads; ++thread) phase(thread);
  }
  void Sync() {}
  void AddXor(unsigned mask, PerThread<float>& values) {
    const std::array<float, kCtaThreads> old = values.values;
    for (unsigned thread = 0; thread < kCtaThreads; ++thread) {
      values[thread] = old[thread] + old[thread ^ mask];
    }
  }
  template <size_t N>
  void Butterfly(unsigned mask, PerThread<std::array<float, N>>& values) {
    for (unsigned thread = 0; thread < kCtaThreads; ++thread) {
      if ((thread & mask) != 0) continue;
      for (size_t i = 0; i < N; ++i) {
        const float x = values[thread][i], y = values[thread ^ mask][i];
        values[thread][i] = x + y;
        values[thread ^ mask][i] = x - y;
      }
    }
  }
  template <typename Body>
  void FirstWarp(Body body) {
    HostWarp warp;
    body(warp);
  }
  bool Any(PerThread<bool>& flags) {
    for (const bool flag : flags.values) {
      if (flag) return true;
    }
    return false;
  }
  uint32_t Max(PerThread<uint32_t>& values) {
    uint32_t max = 0;
    for (const uint32_t each : values.values) max = each > max ? each : max;
    return max;
  }
};

// Adds to a counter that other threads of the CTA add to.
LARDER_HOST_DEVICE inline void CountUp(uint32_t* counter) {
#if defined(__CUDA_ARCH__)
  atomicAdd(counter, 1u);
#else
  ++*counter;
#endif
}

LARDER_HOST_DEVICE inline uint32_t BitsSet(uint32_t mask) {
#if defined(__CUDA_ARCH__)
  return static_cast<uint32_t>(__popc(mask));
#else
  return static_cast<uint32_t>(std::popcount(mask));
#endif
}

// Hands out parts of a CTA's shared memory, each aligned to 16 bytes. With a null base it only counts.
class SharedArena {
 public:
  LARDER_HOST_DEVICE explicit SharedArena(uint8_t* base) : base_(base) {}
  template <typename T>
  LARDER_HOST_DEVICE T* Take(uint32_t count) {
    uint8_t* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count * static_cast<uint32_t>(sizeof(T)) + 15) / 16 * 16;
    return reinterpret_cast<T*>(at);
  }
  LARDER_HOST_DEVICE uint32_t used() const { return used_; }

 private:
  uint8_t* base_;
  uint32_t used_ = 0;
};

}  // namespace larder
