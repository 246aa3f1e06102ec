// Encoding on ingest by a device, where there is one: the same frames as a coder of the host makes, or the answer that the host
// is to encode this block. Never a wait beyond `patience`, and no other harm when the device fails.
//
//   auto encoded = encoder.Encode({recipe, identity, shape, raw, root});
//   if (encoded) ... encoded->parts ... else ... coder->EncodeParts(...) ...
//
// The caller's thread waits for its block: it would otherwise compute for as long, and what bounds those threads bounds the
// device's work. At most slots() blocks are in flight; who finds none free does not wait.
// A device is not believed: the first block of each shape and set of codecs is encoded by the host, too, and a device that makes
// other bytes is not asked any more. So is each that comes after all plans of its kind were forgotten (device_plans.h).
// A slot whose block was late is used again only when the device is done with it. After failures_max failures in a row the
// device is not asked any more until the server starts again, which is logged once.
// Thread-safe. Outlives what Encode returns.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/codec/device_coder.h"
#include "server/codec/device_plans.h"

namespace larder::server {

struct BlockToEncode {
  const BlockRecipe& recipe;
  FrameIdentity identity;
  KvShape shape;
  std::span<const std::byte> raw;
  Checksum128 source_root;
};

class DeviceEncoder {
 public:
  struct Options {
    // Far beyond any block on a healthy device: 32 MiB take 3 ms there and back over PCIe.
    std::chrono::milliseconds patience{100};
    int failures_max = 3;
    // Smaller blocks are done on a core before a device has answered; an estimate, not measured.
    uint64_t raw_bytes_min = 512 * 1024;
  };

  // Holds a slot. Move-only.
  class Hold {
   public:
    Hold(DeviceEncoder* encoder, size_t slot) : encoder_(encoder), slot_(slot) {}
    ~Hold() {
      if (encoder_ != nullptr) encoder_->GiveBack(slot_, SlotState::kFree);
    }
    Hold(Hold&& other) noexcept
        : encoder_(std::exchange(other.encoder_, nullptr)), slot_(other.slot_) {}
    Hold& operator=(Hold&&) = delete;

   private:
    DeviceEncoder* encoder_;
    size_t slot_;
  };

  struct Encoded {
    EncodedParts parts;  // the payload stands in the slot
    Hold hold;
  };

  DeviceEncoder(std::unique_ptr<DeviceCoder> coder, const Options& options, Metrics& metrics);

  std::optional<Encoded> Encode(const BlockToEncode& block);

  // Whether the device is still asked.
  bool on() const;

 private:
  enum class SlotState : uint8_t {
    kFree,
    kTaken,
    kLate,  // nobody waits for it, the device may still use it
  };

  std::optional<size_t> Take();
  void GiveBack(size_t slot, SlotState state);
  DeviceState Await(size_t slot) const;
  void Failed(DeviceEncodeEnd end);
  // Whether the frame whose header the device's bytes make is the host's.
  bool Proves(const BlockToEncode& block, const std::vector<std::byte>& header) const;

  const Options options_;
  Metrics& metrics_;
  DevicePlans plans_;
  const std::unique_ptr<DeviceCoder> coder_;
  mutable Mutex mutex_;
  std::vector<SlotState> slots_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // in a row
};

}  // namespace larder::server
