// One block of a get over a window, from its first byte to its verdict. Internal to the client library.
//
// Confined to one thread at a time: the one that receives while the call is under way, then the one that concludes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "client/client_window.h"
#include "client/frame_receiver.h"
#include "client/get_call.h"

namespace larder {

class ArrivingFrame {
 public:
  // Block `index` of `work`, for which `place` is taken in the window. `work`, `coders` and the place outlive it; `window` keeps the
  // memory of the place for a device that reads it.
  ArrivingFrame(const GetWork& work, CoderPool& coders, uint32_t index, std::span<std::byte> place,
                std::shared_ptr<const void> window)
      : work_(work), coders_(coders), index_(index), place_(place), window_(std::move(window)) {}

  // The next bytes, from the window's thread: gone afterwards.
  void TakeIn(std::span<const std::byte> bytes, uint64_t frame_bytes);
  // The first `available` bytes stand in their place.
  void Feed(uint64_t frame_bytes, uint64_t available);

  uint32_t index() const { return index_; }
  uint64_t frame_bytes() const { return frame_bytes_; }
  // Every byte has come.
  bool whole() const { return receiver_.has_value() && fed_ == frame_bytes_; }
  // The block, if all of it has come and every byte is right; else null.
  FrameReceiver* Finish();

 private:
  // The next bytes. `stand`: where they stand, too, one behind the other, or null.
  void Verify(uint64_t frame_bytes, std::span<const std::byte> bytes, const std::byte* stand);

  const GetWork& work_;
  CoderPool& coders_;
  const uint32_t index_;
  const std::span<std::byte> place_;
  const std::shared_ptr<const void> window_;
  ExpectedFrame expected_;
  std::optional<FrameReceiver> receiver_;
  std::optional<LayersTeller> teller_;
  uint64_t frame_bytes_ = 0;
  uint64_t fed_ = 0;
};

}  // namespace larder
