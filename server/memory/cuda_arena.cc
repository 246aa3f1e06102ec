#include "server/memory/cuda_arena.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/memory/copy_queue.h"
#include "server/memory/slab_allocator.h"

namespace larder::server {
namespace {

constexpr auto kPollInterval = std::chrono::microseconds(20);

// Walks over the bytes of ranges in order.
class HostWalk {
 public:
  explicit HostWalk(const HostRanges& ranges) : ranges_(ranges) {}
  // Calls `visit(piece)` for the next `bytes` bytes.
  template <typename Visit>
  void Next(uint64_t bytes, Visit visit) {
    while (bytes > 0) {
      const auto piece =
          ranges_[range_].subspan(used_, std::min(bytes, ranges_[range_].size() - used_));
      visit(piece);
      bytes -= piece.size();
      used_ += piece.size();
      if (used_ == ranges_[range_].size()) {
        ++range_;
        used_ = 0;
      }
    }
  }

 private:
  const HostRanges& ranges_;
  size_t range_ = 0;
  uint64_t used_ = 0;
};

// One direction. Confined to its queue's thread, but for construction.
class Channel {
 public:
  Channel(const CudaArenaOptions& options, std::byte* memory)
      : options_(options), memory_(memory) {}
  ~Channel() {
    if (stuck_) return;
    for (Buffer& buffer : buffers_) {
      if (buffer.ready != nullptr) cudaEventDestroy(buffer.ready);
      if (buffer.memory != nullptr) cudaFreeHost(buffer.memory);
    }
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  cudaError_t Open() {
    cudaError_t error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    for (Buffer& buffer : buffers_) {
      if (error != cudaSuccess) return error;
      void* memory = nullptr;
      error = cudaMallocHost(&memory, options_.staging_bytes);
      if (error != cudaSuccess) return error;
      buffer.memory = static_cast<std::byte*>(memory);
      error = cudaEventCreateWithFlags(&buffer.ready, cudaEventDisableTiming);
    }
    return error;
  }

  bool In(const DeviceCopy& copy) {
    if (cudaSetDevice(options_.device) != cudaSuccess) return false;
    HostWalk host(copy.host);
    DeviceWalk device(copy.device);
    uint64_t left = device.total();
    for (size_t turn = 0; left > 0; ++turn) {
      Buffer& buffer = buffers_[turn % buffers_.size()];
      if (!Await(buffer)) return false;
      const uint64_t step = std::min(left, options_.staging_bytes);
      uint64_t filled = 0;
      host.Next(step, [&](std::span<std::byte> piece) {
        std::memcpy(buffer.memory + filled, piece.data(), piece.size());
        filled += piece.size();
      });
      if (!Enqueue(buffer, device, step, cudaMemcpyHostToDevice)) return false;
      left -= step;
    }
    return std::all_of(buffers_.begin(), buffers_.end(), [this](Buffer& b) { return Await(b); });
  }

  bool Out(const DeviceCopy& copy) {
    if (cudaSetDevice(options_.device) != cudaSuccess) return false;
    HostWalk host(copy.host);
    DeviceWalk device(copy.device);
    uint64_t left = device.total();
    uint64_t coming = 0;  // bytes of the buffer before
    for (size_t turn = 0; left > 0 || coming > 0; ++turn) {
      const uint64_t step = std::min(left, options_.staging_bytes);
      if (step > 0 && !Enqueue(buffers_[turn % 2], device, step, cudaMemcpyDeviceToHost))
        return false;
      if (coming > 0) {
        Buffer& before = buffers_[(turn + 1) % 2];
        if (!Await(before)) return false;
        uint64_t taken = 0;
        host.Next(coming, [&](std::span<std::byte> piece) {
          std::memcpy(piece.data(), before.memory + taken, piece.size());
          taken += piece.size();
        });
      }
      coming = step;
      left -= step;
    }
    return true;
  }

 private:
  struct Buffer {
    std::byte* memory = nullptr;
    cudaEvent_t ready = nullptr;
    bool busy = false;  // the device may touch it until `ready`
  };

  class DeviceWalk {
   public:
    explicit DeviceWalk(const DeviceRanges& ranges) : ranges_(ranges) {}
    uint64_t total() const {
      uint64_t bytes = 0;
      for (const DeviceRange& range : ranges_) bytes += range.bytes;
      return bytes;
    }
    // The next piece of at most `bytes` bytes.
    DeviceRange Next(uint64_t bytes) {
      const DeviceRange& range = ranges_[range_];
      const DeviceRange piece = {range.offset + used_, std::min(bytes, range.bytes - used_)};
      used_ += piece.bytes;
      if (used_ == range.bytes) {
        ++range_;
        used_ = 0;
      }
      return piece;
    }

   private:
    const DeviceRanges& ranges_;
    size_t range_ = 0;
    uint64_t used_ = 0;
  };

  bool Enqueue(Buffer& buffer, DeviceWalk& device, uint64_t bytes, cudaMemcpyKind kind) {
    buffer.busy = true;
    for (uint64_t at = 0; at < bytes;) {
      const DeviceRange piece = device.Next(bytes - at);
      void* on_device = memory_ + piece.offset;
      void* staged = buffer.memory + at;
      const bool in = kind == cudaMemcpyHostToDevice;
      if (cudaMemcpyAsync(in ? on_device : staged, in ? staged : on_device, piece.bytes, kind,
                          stream_) != cudaSuccess) {
        stuck_ = true;
        return false;
      }
      at += piece.bytes;
    }
    stuck_ = cudaEventRecord(buffer.ready, stream_) != cudaSuccess;
    return !stuck_;
  }

  // Waits until the device is done with the buffer, in polls: a wait inside CUDA has no limit.
  bool Await(Buffer& buffer) {
    if (!buffer.busy) return true;
    const auto give_up = std::chrono::steady_clock::now() + options_.stall_timeout;
    cudaError_t error;
    while ((error = cudaEventQuery(buffer.ready)) == cudaErrorNotReady) {
      if (std::chrono::steady_clock::now() > give_up) break;
      std::this_thread::sleep_for(kPollInterval);
    }
    stuck_ = error != cudaSuccess;
    buffer.busy = stuck_;
    return !stuck_;
  }

  const CudaArenaOptions options_;
  std::byte* const memory_;
  cudaStream_t stream_ = nullptr;
  std::array<Buffer, 2> buffers_;
  bool stuck_ = false;  // the device may still use the buffers
};

class CudaArena final : public DeviceArena {
 public:
  // Owns `memory`.
  CudaArena(const CudaArenaOptions& options, std::byte* memory)
      : options_(options), memory_(memory), in_(options, memory), out_(options, memory) {}
  ~CudaArena() override {
    ins_.reset();
    outs_.reset();
    if (!lost()) cudaFree(memory_);
  }

  cudaError_t Open() {
    cudaError_t error = in_.Open();
    if (error == cudaSuccess) error = out_.Open();
    if (error != cudaSuccess) return error;
    ins_.emplace(options_.copies_max,
                 [this](const DeviceCopy& copy) { return EndOf(!lost() && in_.In(copy)); });
    outs_.emplace(options_.copies_max,
                  [this](const DeviceCopy& copy) { return EndOf(!lost() && out_.Out(copy)); });
    return cudaSuccess;
  }

  uint64_t bytes() const override { return options_.bytes; }
  bool CopyIn(DeviceCopy copy) override { return Push(*ins_, std::move(copy)); }
  bool CopyOut(DeviceCopy copy) override { return Push(*outs_, std::move(copy)); }
  bool lost() const override { return lost_.load(std::memory_order_acquire); }

 private:
  bool Push(CopyQueue& queue, DeviceCopy copy) {
    for (const DeviceRange& range : copy.device) {
      LARDER_CHECK(range.offset <= options_.bytes && range.bytes <= options_.bytes - range.offset);
    }
    return queue.Push(std::move(copy));
  }
  CopyEnd EndOf(bool copied) {
    if (copied) return CopyEnd::kDone;
    lost_.store(true, std::memory_order_release);
    return CopyEnd::kFailed;
  }

  const CudaArenaOptions options_;
  std::byte* const memory_;
  std::atomic<bool> lost_{false};
  Channel in_;
  Channel out_;
  std::optional<CopyQueue> ins_;
  std::optional<CopyQueue> outs_;
};

absl::Status Refused(const CudaArenaOptions& options, const std::string& why) {
  return InvalidField("hbm_bytes", std::to_string(options.bytes) + ", refused: " + why,
                      "a CUDA device with as much memory free, or 0 to run without one");
}

absl::Status Refused(const CudaArenaOptions& options, cudaError_t error) {
  cudaGetLastError();  // or a later check would report it again
  return Refused(options,
                 std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")");
}

}  // namespace

int CudaDeviceCount() {
  int count = 0;  // without a driver the call leaves it untouched
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

absl::StatusOr<std::unique_ptr<DeviceArena>> CreateCudaArena(const CudaArenaOptions& options) {
  CudaArenaOptions rounded = options;
  rounded.bytes = options.bytes / kGranuleBytes * kGranuleBytes;
  if (rounded.bytes == 0 || options.staging_bytes == 0) return Refused(options, "no whole granule");
  if (const cudaError_t error = cudaSetDevice(options.device); error != cudaSuccess) {
    return Refused(options, error);
  }
  void* memory = nullptr;
  if (const cudaError_t error = cudaMalloc(&memory, rounded.bytes); error != cudaSuccess) {
    return Refused(options, error);
  }
  auto arena = std::make_unique<CudaArena>(rounded, static_cast<std::byte*>(memory));
  if (const cudaError_t error = arena->Open(); error != cudaSuccess) {
    return Refused(options, error);
  }
  return std::unique_ptr<DeviceArena>(std::move(arena));
}

}  // namespace larder::server
