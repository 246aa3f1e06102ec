// A device's memory whose addresses no CPU may touch: pages without access, with the bytes behind them mapped elsewhere. Whoever reads
// or writes a "device pointer" by himself dies of it.
//
// Work is done at Poll, as late as can be, so that memory which is given back too early has other bytes by then; it can be held back,
// fail, fit no frame, or find streams ill-formed. Frames are expanded by the kernels' bodies on the host.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "client/decode_plan.h"
#include "client/device_memory.h"
#include "tests/gpu/host_machine.h"

namespace larder {

// Thread-safe but for its switches.
class FakeDeviceMemory final : public DeviceMemory {
 public:
  explicit FakeDeviceMemory(uint64_t bytes) : state_(std::make_shared<Shared>(bytes)) {}

  // The bytes behind a device pointer.
  std::byte* Behind(const std::byte* device) const { return state_->Behind(device); }
  std::atomic<bool>& holds() { return state_->holds; }
  std::atomic<bool>& fails() { return state_->fails; }
  std::atomic<bool>& refuses_streams() { return state_->refuses_streams; }
  std::atomic<bool>& forgets() { return state_->forgets; }  // which memory is its own
  std::atomic<int>& fits() { return state_->fits; }         // so many frames more
  uint64_t pinned_bytes() const { return state_->pinned_bytes; }
  int dropped() const { return state_->dropped; }  // works that were let go of while they ran
  int decodings() const { return state_->decodings; }
  int works() const { return state_->works; }  // that have not been let go of

  std::string name() const override { return "fake"; }
  MemoryPlace PlaceOf(const void* memory) const override {
    const auto* const at = static_cast<const std::byte*>(memory);
    if (at < state_->front || at >= state_->front + state_->bytes) return MemoryPlace::kHost;
    return state_->forgets ? MemoryPlace::kElsewhere : MemoryPlace::kDevice;
  }
  std::shared_ptr<std::byte> Allocate(uint64_t bytes) override {
    const uint64_t begin =
        state_->used.fetch_add((bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (begin + bytes > state_->bytes) return nullptr;
    return {state_, state_->front + begin};
  }
  absl::Status Pin(std::span<std::byte> host) override {
    std::lock_guard lock(state_->mutex);
    state_->pinned.push_back(host);
    state_->pinned_bytes += host.size();
    return absl::OkStatus();
  }
  void Unpin(std::span<std::byte> host) override {
    std::lock_guard lock(state_->mutex);
    std::erase_if(state_->pinned, [&](auto each) { return each.data() == host.data(); });
    state_->pinned_bytes -= host.size();
  }
  std::unique_ptr<DeviceWork> Begin() override {
    if (state_->fails) return nullptr;
    return std::make_unique<Work>(state_);
  }

 private:
  static constexpr uint64_t kAlignment = 256;

  struct Shared {
    explicit Shared(uint64_t size) : bytes(size) {
      const int file = ::memfd_create("fake-device", MFD_CLOEXEC);
      EXPECT_EQ(::ftruncate(file, static_cast<off_t>(size)), 0);
      front = Map(file, PROT_NONE);
      behind = Map(file, PROT_READ | PROT_WRITE);
      ::close(file);
    }
    ~Shared() {
      ::munmap(front, bytes);
      ::munmap(behind, bytes);
    }
    std::byte* Map(int file, int access) const {
      return static_cast<std::byte*>(::mmap(nullptr, bytes, access, MAP_SHARED, file, 0));
    }
    std::byte* Behind(const std::byte* device) const { return behind + (device - front); }
    BlockRows Behind(BlockRows rows) const {
      for (RunRows& each : rows) {
        if (each.base != nullptr) each.base += behind - front;
        if (each.pages != nullptr)
          each.pages += (behind - front) / static_cast<ptrdiff_t>(sizeof(*each.pages));
      }
      return rows;
    }

    // Host memory that is pinned, or a copy of other.
    struct Source {
      std::shared_ptr<const std::vector<std::byte>> copy;
      std::span<const std::byte> bytes;
    };
    Source SourceOf(std::span<const std::byte> host) {
      std::lock_guard lock(mutex);
      for (const auto range : pinned) {
        if (host.data() >= range.data() && host.data() < range.data() + range.size()) {
          return {nullptr, host};
        }
      }
      const auto copy = std::make_shared<const std::vector<std::byte>>(host.begin(), host.end());
      return {copy, *copy};
    }

    const uint64_t bytes;
    std::byte* front;
    std::byte* behind;
    std::atomic<uint64_t> used{0};
    std::atomic<uint64_t> pinned_bytes{0};
    std::atomic<int> decodings{0};
    std::atomic<int> works{0};
    std::atomic<bool> holds{false}, fails{false}, refuses_streams{false}, forgets{false};
    std::atomic<int> fits{std::numeric_limits<int>::max()};
    std::atomic<int> dropped{0};
    std::mutex mutex;
    std::vector<std::span<std::byte>> pinned;
    DecodePlans plans;
  };

  class Work final : public DeviceWork {
   public:
    explicit Work(std::shared_ptr<Shared> state) : state_(std::move(state)) { ++state_->works; }
    ~Work() override {
      --state_->works;
      if (!queued_.empty()) ++state_->dropped;
    }

    bool CopyIn(std::byte* device, std::span<const std::byte> host) override {
      return Queue([to = state_->Behind(device), from = state_->SourceOf(host)] {
        std::memcpy(to, from.bytes.data(), from.bytes.size());
      });
    }
    bool CopyOut(std::span<std::byte> host, const std::byte* device) override {
      return Queue(
          [from = state_->Behind(device), host] { std::memcpy(host.data(), from, host.size()); });
    }
    bool GatherOut(std::span<std::byte> host, const BlockRows& rows,
                   const KvShape& shape) override {
      return Queue([host, rows = state_->Behind(rows), shape] {
        HostMachine machine;
        const auto raw = RawRowsAt(shape, reinterpret_cast<uint8_t*>(host.data()));
        for (const RowCopy& copy : RowCopiesOf(shape, rows, raw)) EXPECT_TRUE(machine.Copy(copy));
      });
    }
    Decoding Decode(const FrameView& frame, std::span<const std::byte> payload,
                    const BlockRows& rows) override {
      const auto plan = state_->fits-- <= 0 ? nullptr : state_->plans.Find(frame);
      if (plan == nullptr) return Decoding::kUnfit;
      const size_t nth = decoded_.size();
      decoded_.push_back(0);
      ++state_->decodings;
      Queue([this, nth, plan, from = state_->SourceOf(payload),
             placed = PlacedStreamsOf(frame, *plan),
             to = state_->Behind(rows)] { decoded_[nth] = Expand(*plan, placed, from.bytes, to); });
      return Decoding::kQueued;
    }
    DeviceWork::State Poll() override {
      if (state_->fails) return DeviceWork::State::kFailed;
      if (state_->holds) return DeviceWork::State::kRuns;
      if (queued_.empty()) return DeviceWork::State::kDone;
      queued_.front()();
      queued_.pop_front();
      return DeviceWork::State::kRuns;
    }
    bool Decoded(size_t nth) const override { return decoded_[nth] != 0; }

   private:
    bool Queue(std::function<void()> step) {
      queued_.push_back(std::move(step));
      return !state_->fails;
    }
    // Whether every stream was well-formed.
    bool Expand(const DecodePlan& plan, const std::vector<PlacedStream>& placed,
                std::span<const std::byte> payload, const BlockRows& to) const {
      HostMachine machine;
      auto bytes = machine.Put(payload);
      auto image = machine.Put(plan.plan.image());
      auto places = machine.Put(std::as_bytes(std::span(placed)));
      HostMachine::Buffer scratch(plan.plan.decode_scratch_bytes(1));
      std::vector<uint32_t> refused(plan.plan.flags());
      FrameMemory memory;
      memory.rows = to;
      memory.payloads = bytes.get();
      memory.payload_stride = static_cast<int64_t>(payload.size());
      memory.blocks = 1;
      memory.image = image.get();
      memory.refused = refused.data();
      memory.scratch = scratch.get();
      memory.placed = reinterpret_cast<PlacedStream*>(places.get());
      const bool done = machine.DecodeFrames(plan.plan.BindDecode(memory));
      return done && !state_->refuses_streams && std::ranges::count(refused, 1u) == 0;
    }

    const std::shared_ptr<Shared> state_;
    std::deque<std::function<void()>> queued_;
    std::vector<char> decoded_;
  };

  const std::shared_ptr<Shared> state_;
};

}  // namespace larder
