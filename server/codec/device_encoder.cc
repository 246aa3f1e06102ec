#include "server/codec/device_encoder.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "server/base/log.h"

namespace larder::server {
namespace {

constexpr auto kPollInterval = std::chrono::microseconds(20);

}  // namespace

DeviceEncoder::DeviceEncoder(std::unique_ptr<DeviceCoder> coder, const Options& options,
                             Metrics& metrics)
    : options_(options),
      metrics_(metrics),
      coder_(std::move(coder)),
      slots_(coder_->slots(), SlotState::kFree) {}

bool DeviceEncoder::on() const {
  MutexLock lock(mutex_);
  return failures_ < options_.failures_max;
}

std::optional<size_t> DeviceEncoder::Take() {
  size_t slot = 0;
  {
    MutexLock lock(mutex_);
    auto found = std::ranges::find(slots_, SlotState::kFree);
    const bool free = found != slots_.end();
    if (!free) found = std::ranges::find(slots_, SlotState::kLate);
    if (found == slots_.end()) return std::nullopt;
    *found = SlotState::kTaken;
    slot = static_cast<size_t>(found - slots_.begin());
    if (free) return slot;
  }
  if (coder_->Poll(slot) != DeviceState::kRuns) return slot;
  GiveBack(slot, SlotState::kLate);
  return std::nullopt;
}

void DeviceEncoder::GiveBack(size_t slot, SlotState state) {
  MutexLock lock(mutex_);
  slots_[slot] = state;
}

DeviceState DeviceEncoder::Await(size_t slot) const {
  const auto give_up = std::chrono::steady_clock::now() + options_.patience;
  for (;;) {
    const DeviceState state = coder_->Poll(slot);
    if (state != DeviceState::kRuns || std::chrono::steady_clock::now() > give_up) return state;
    std::this_thread::sleep_for(kPollInterval);
  }
}

void DeviceEncoder::Failed(DeviceEncodeEnd end) {
  metrics_.CountDeviceEncode(end);
  bool last = false;
  {
    MutexLock lock(mutex_);
    const bool was_on = failures_ < options_.failures_max;
    failures_ = end == DeviceEncodeEnd::kDiffers ? options_.failures_max : failures_ + 1;
    last = was_on && failures_ >= options_.failures_max;
  }
  if (!last) return;
  LogWarn("the device does not encode any more; blocks are encoded on the CPU until a restart",
          {{"last", end == DeviceEncodeEnd::kDiffers ? "other bytes than the CPU's"
                    : end == DeviceEncodeEnd::kLate  ? "late"
                                                     : "failed"}});
}

std::optional<DeviceEncoder::Encoded> DeviceEncoder::Encode(const BlockToEncode& block) {
  if (block.raw.size() < options_.raw_bytes_min || !on()) return std::nullopt;
  const auto planned = plans_.Find(block.recipe, block.shape, block.identity.token_begin);
  if (planned == nullptr) {
    metrics_.CountDeviceEncode(DeviceEncodeEnd::kUnfit);
    return std::nullopt;
  }
  const auto slot = Take();
  if (!slot) {
    metrics_.CountDeviceEncode(DeviceEncodeEnd::kBusy);
    return std::nullopt;
  }
  const DeviceStart start = coder_->Start(*slot, *planned, block.raw);
  const DeviceState state = start == DeviceStart::kStarted ? Await(*slot) : DeviceState::kFailed;
  if (state != DeviceState::kDone) {
    GiveBack(*slot, state == DeviceState::kRuns ? SlotState::kLate : SlotState::kFree);
    if (start == DeviceStart::kUnfit) {
      metrics_.CountDeviceEncode(DeviceEncodeEnd::kUnfit);
    } else {
      Failed(state == DeviceState::kRuns ? DeviceEncodeEnd::kLate : DeviceEncodeEnd::kFailed);
    }
    return std::nullopt;
  }
  Hold hold(this, *slot);
  const DeviceResult result = coder_->Result(*slot);
  EncodedParts parts =
      JoinStreams(block.identity, block.shape, planned->codecs, StreamsOf(*planned, result.placed),
                  result.payload, block.source_root);
  if (!planned->proven->load(std::memory_order_relaxed)) {
    if (!Proves(block, parts.header)) {
      Failed(DeviceEncodeEnd::kDiffers);
      return std::nullopt;
    }
    planned->proven->store(true, std::memory_order_relaxed);
  }
  {
    MutexLock lock(mutex_);
    if (failures_ < options_.failures_max) failures_ = 0;
  }
  metrics_.CountDeviceEncode(DeviceEncodeEnd::kDone);
  return Encoded{std::move(parts), std::move(hold)};
}

// The header has the checksums of all streams.
bool DeviceEncoder::Proves(const BlockToEncode& block, const std::vector<std::byte>& header) const {
  BlockCoder host;
  return host.EncodeParts(block.recipe, block.identity, block.shape, block.raw, block.source_root)
             .header == header;
}

}  // namespace larder::server
