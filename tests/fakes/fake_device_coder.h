// A device coder whose device is the kernels' bodies run on the host, a thread per block, and that fails, stalls and refuses as a
// test says.
#pragma once

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/check.h"
#include "server/base/mutex.h"
#include "server/codec/device_coder.h"
#include "tests/gpu/host_machine.h"

namespace larder::server {

enum class DeviceAct : uint8_t {
  kWorks,
  kFails,    // while the block runs
  kRefuses,  // to start
  kStalls,   // until Release
  kUnfit,
  kLies,  // makes other bytes
};

class FakeDeviceCoder final : public DeviceCoder {
 public:
  explicit FakeDeviceCoder(size_t slots) : slots_(slots) {}
  ~FakeDeviceCoder() override {
    Release();
    for (Slot& slot : slots_) {
      if (slot.thread.joinable()) slot.thread.join();
    }
  }

  // Of blocks that start from now on.
  void Act(DeviceAct act) { act_.store(act); }
  // Ends every stall, those to come as well.
  void Release() {
    MutexLock lock(mutex_);
    released_ = true;
    changed_.NotifyAll();
  }

  size_t slots() const override { return slots_.size(); }

  DeviceStart Start(size_t index, const PlannedBlock& planned,
                    std::span<const std::byte> raw) override {
    Slot& slot = slots_[index];
    LARDER_CHECK(slot.state.load() != DeviceState::kRuns);  // its memory is in use
    if (slot.thread.joinable()) slot.thread.join();
    const DeviceAct act = act_.load();
    if (act == DeviceAct::kRefuses) return DeviceStart::kFailed;
    if (act == DeviceAct::kUnfit || !DeviceLimits{}.Hold(planned, raw.size())) {
      return DeviceStart::kUnfit;
    }
    slot.raw.assign(raw.begin(), raw.end());
    slot.planned = std::make_unique<PlannedBlock>(planned);
    slot.state.store(DeviceState::kRuns);
    slot.thread = std::thread([this, &slot, act] {
      if (act == DeviceAct::kStalls) AwaitRelease();
      const bool encoded = act != DeviceAct::kFails && Encode(slot);
      if (act == DeviceAct::kLies) slot.payload[0] ^= std::byte{1};
      slot.state.store(encoded ? DeviceState::kDone : DeviceState::kFailed);
    });
    return DeviceStart::kStarted;
  }
  DeviceState Poll(size_t slot) override { return slots_[slot].state.load(); }
  DeviceResult Result(size_t slot) const override {
    const Slot& of = slots_[slot];
    return {of.placed, std::span(of.payload).first(PayloadBytes(of.placed))};
  }

 private:
  struct Slot {
    std::atomic<DeviceState> state{DeviceState::kDone};
    std::thread thread;
    std::vector<std::byte> raw;
    std::unique_ptr<PlannedBlock> planned;
    std::vector<PlacedStream> placed;
    std::vector<std::byte> payload;
  };

  static bool Encode(Slot& slot) {
    HostMachine machine;
    const FramePlan& plan = slot.planned->plan;
    slot.placed.assign(slot.planned->codecs.size(), {});
    slot.payload.assign(plan.payload_bytes(), std::byte{0xA5});
    auto rows = machine.Put(slot.raw);
    auto image = machine.Put(plan.image());
    auto payload = machine.Put(slot.payload);
    auto placed = machine.Put(std::as_bytes(std::span(slot.placed)));
    HostMachine::Buffer scratch(plan.scratch_bytes(1)), flags(plan.flags() * sizeof(uint32_t));
    FrameMemory memory;
    memory.rows = RawRowsAt(slot.planned->shape, rows.get());
    memory.payloads = payload.get();
    memory.payload_stride = static_cast<int64_t>(plan.payload_bytes());
    memory.blocks = 1;
    memory.image = image.get();
    memory.refused = reinterpret_cast<uint32_t*>(flags.get());
    memory.scratch = scratch.get();
    memory.placed = reinterpret_cast<PlacedStream*>(placed.get());
    if (!machine.EncodeFrames(plan.BindEncode(memory))) return false;
    machine.Get(payload, slot.payload);
    machine.Get(placed, std::as_writable_bytes(std::span(slot.placed)));
    return true;
  }

  void AwaitRelease() {
    MutexLock lock(mutex_);
    while (!released_) changed_.Wait(mutex_);
  }

  std::vector<Slot> slots_;
  std::atomic<DeviceAct> act_{DeviceAct::kWorks};
  Mutex mutex_;
  CondVar changed_;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace larder::server
