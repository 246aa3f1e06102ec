// Memory that a CUDA stream's work uses. Internal to the client library.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace larder {

// Whether it did; what it left as the thread's last error is cleared then, or a later check would report it again.
inline bool Did(cudaError_t error) {
  if (error == cudaSuccess) return true;
  cudaGetLastError();
  return false;
}

// Memory of the device that comes and goes in the order of a stream.
class StreamBuffer {
 public:
  // Nothing that the stream has passed is kept.
  bool Reserve(uint64_t bytes, cudaStream_t stream) {
    if (bytes <= bytes_) return true;
    Free(stream);
    void* memory = nullptr;
    if (!Did(cudaMallocAsync(&memory, bytes, stream))) return false;
    memory_ = static_cast<uint8_t*>(memory);
    bytes_ = bytes;
    return true;
  }
  void Free(cudaStream_t stream) {
    if (memory_ != nullptr) cudaFreeAsync(memory_, stream);
    memory_ = nullptr;
    bytes_ = 0;
  }
  uint8_t* get() const { return memory_; }
  uint64_t bytes() const { return bytes_; }

 private:
  uint8_t* memory_ = nullptr;
  uint64_t bytes_ = 0;
};

// Pinned host memory that is taken piece by piece, and given back all at once.
class PinnedPieces {
 public:
  static constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
  // What crosses from memory that is not pinned while the device does not follow.
  static constexpr uint64_t kBytesMax = uint64_t{256} << 20;

  // 64-byte aligned; null when there is none.
  std::byte* Take(uint64_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    taken_ += bytes;
    for (; current_ < chunks_.size(); ++current_) {
      Chunk& chunk = chunks_[current_];
      if (chunk.bytes - chunk.used < bytes) continue;
      chunk.used += bytes;
      return chunk.memory + chunk.used - bytes;
    }
    void* memory = nullptr;
    const uint64_t size = std::max(bytes, kChunkBytes);
    if (held_ + size > kBytesMax && taken_ == bytes) Trim(0);  // all are free, and too small
    if (held_ + size > kBytesMax || !Did(cudaMallocHost(&memory, size))) return nullptr;
    held_ += size;
    chunks_.push_back({static_cast<std::byte*>(memory), size, bytes});
    return chunks_.back().memory;
  }
  uint64_t taken() const { return taken_; }
  void GiveAllBack() {
    for (Chunk& chunk : chunks_) chunk.used = 0;
    current_ = 0;
    taken_ = 0;
  }
  // Frees what is beyond; nothing is taken.
  void Trim(uint64_t kept_bytes) {
    while (held_ > kept_bytes) {
      held_ -= chunks_.back().bytes;
      cudaFreeHost(chunks_.back().memory);
      chunks_.pop_back();
    }
    current_ = 0;
  }

 private:
  struct Chunk {
    std::byte* memory;
    uint64_t bytes;
    uint64_t used;
  };
  std::vector<Chunk> chunks_;
  size_t current_ = 0;
  uint64_t taken_ = 0;
  uint64_t held_ = 0;
};

}  // namespace larder
