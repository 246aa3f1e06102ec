// The kernels' bodies run on the host, thread by thread: what tests without a device use in a device's place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/codec/device/frame_plan.h"
#include "kernels/codec/device/tile_run.h"
#include "kernels/paging/row_copy.h"

namespace larder {

class HostMachine {
 public:
  // Memory of the machine, aligned to 16 bytes.
  class Buffer {
   public:
    explicit Buffer(size_t bytes) : words_((bytes + 15) / 16) {}
    uint8_t* get() { return reinterpret_cast<uint8_t*>(words_.data()); }

   private:
    struct alignas(16) Word {
      uint8_t bytes[16];
    };
    std::vector<Word> words_;
  };

  Buffer Put(std::span<const std::byte> bytes) {
    Buffer buffer(bytes.size());
    if (!bytes.empty()) std::memcpy(buffer.get(), bytes.data(), bytes.size());
    return buffer;
  }
  void Get(Buffer& buffer, std::span<std::byte> out) {
    if (!out.empty()) std::memcpy(out.data(), buffer.get(), out.size());
  }
  // As the launchers of the same names; false when there is nothing that may be launched.
  bool Encode(const TileRun& run);
  bool Decode(const TileRun& run);
  bool Copy(const RowCopy& copy);
  bool EncodeFrames(const BoundFrames& frames);
  bool DecodeFrames(const BoundFrames& frames);
};

}  // namespace larder
