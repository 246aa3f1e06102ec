#include "server/codec/cuda_coder.h"

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/codec/device/frame_kernels.cuh"
#include "proto/contract/errors.h"

namespace larder::server {
namespace {

// Of a stream that still runs when the server ends.
constexpr auto kLastWork = std::chrono::milliseconds(2'000);
constexpr auto kPollInterval = std::chrono::microseconds(100);

// Sizes of a slot's memory; every part begins at a multiple of 256.
struct SlotSizes {
  explicit SlotSizes(const DeviceLimits& limits)
      : raw(Rounded(limits.raw_bytes_max)),
        image(Rounded(limits.image_bytes_max)),
        payload(Rounded(limits.payload_bytes_max())),
        scratch(Rounded(limits.scratch_bytes_max())),
        placed(Rounded(limits.streams_max * sizeof(PlacedStream))),
        flags(Rounded(limits.streams_max * sizeof(uint32_t))) {}

  static uint64_t Rounded(uint64_t bytes) { return (bytes + 255) / 256 * 256; }
  uint64_t pinned() const { return raw + image + payload + placed; }
  uint64_t on_device() const { return raw + image + payload + scratch + placed + flags; }

  const uint64_t raw, image, payload, scratch, placed, flags;
};

class CudaSlot {
 public:
  CudaSlot(const CudaCoderOptions& options, const SlotSizes& sizes)
      : options_(options), sizes_(sizes) {}
  ~CudaSlot() {
    if (!Quiet()) return;
    if (ready_ != nullptr) cudaEventDestroy(ready_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    if (pinned_ != nullptr) cudaFreeHost(pinned_);
    if (device_ != nullptr) cudaFree(device_);
  }
  CudaSlot(const CudaSlot&) = delete;
  CudaSlot& operator=(const CudaSlot&) = delete;

  cudaError_t Open() {
    cudaError_t error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming);
    if (error == cudaSuccess) {
      error = cudaMallocHost(reinterpret_cast<void**>(&pinned_), sizes_.pinned());
    }
    if (error == cudaSuccess) {
      error = cudaMalloc(reinterpret_cast<void**>(&device_), sizes_.on_device());
    }
    return error;
  }

  DeviceStart Start(const PlannedBlock& planned, std::span<const std::byte> raw) {
    if (!options_.limits.Hold(planned, raw.size())) return DeviceStart::kUnfit;
    // After a failure something may still run.
    if (cudaSetDevice(options_.device) != cudaSuccess || cudaStreamQuery(stream_) != cudaSuccess) {
      return DeviceStart::kFailed;
    }
    streams_ = planned.codecs.size();
    // The copy that makes the rest asynchronous: what a caller has is not pinned.
    std::memcpy(pinned_, raw.data(), raw.size());
    state_ = DeviceState::kRuns;
    coded_ = false;
    if (!BringImage(planned) || !Launch(planned, raw.size())) {
      state_ = DeviceState::kFailed;
      image_of_ = 0;
      cudaGetLastError();
      return DeviceStart::kFailed;
    }
    return DeviceStart::kStarted;
  }

  DeviceState Poll() {
    if (state_ != DeviceState::kRuns) return state_;
    if (cudaSetDevice(options_.device) != cudaSuccess) return state_ = DeviceState::kFailed;
    const cudaError_t error = cudaEventQuery(ready_);
    if (error == cudaErrorNotReady) return state_;
    if (error != cudaSuccess) return state_ = DeviceState::kFailed;
    if (coded_) return state_ = DeviceState::kDone;
    coded_ = true;
    payload_bytes_ = PayloadBytes(placed());
    if (payload_bytes_ > sizes_.payload || !Bring(payload_at(), device_payload(), payload_bytes_)) {
      state_ = DeviceState::kFailed;
    }
    return state_;
  }

  DeviceResult Result() const { return {placed(), {payload_at(), payload_bytes_}}; }

 private:
  std::byte* payload_at() const { return pinned_ + sizes_.raw + sizes_.image; }
  std::byte* placed_at() const { return payload_at() + sizes_.payload; }
  std::span<const PlacedStream> placed() const {
    return {reinterpret_cast<const PlacedStream*>(placed_at()), streams_};
  }
  uint8_t* device_payload() const { return device_ + sizes_.raw + sizes_.image; }

  // A copy to the host, and the event behind it.
  bool Bring(void* to, const void* from, uint64_t bytes) {
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_) == cudaSuccess &&
           cudaEventRecord(ready_, stream_) == cudaSuccess;
  }

  // The plan's tables, unless they are there from the block before.
  bool BringImage(const PlannedBlock& planned) {
    if (planned.number != 0 && planned.number == image_of_) return true;
    const auto image = planned.plan.image();
    std::memcpy(pinned_ + sizes_.raw, image.data(), image.size());
    image_of_ = planned.number;
    return cudaMemcpyAsync(device_ + sizes_.raw, pinned_ + sizes_.raw, image.size(),
                           cudaMemcpyHostToDevice, stream_) == cudaSuccess;
  }

  bool Launch(const PlannedBlock& planned, uint64_t raw_bytes) {
    FrameMemory memory;
    memory.rows = RawRowsAt(planned.shape, device_);
    memory.image = device_ + sizes_.raw;
    memory.payloads = device_payload();
    memory.payload_stride = static_cast<int64_t>(sizes_.payload);
    memory.blocks = 1;
    memory.scratch = memory.payloads + sizes_.payload;
    memory.placed = reinterpret_cast<PlacedStream*>(memory.scratch + sizes_.scratch);
    memory.refused = reinterpret_cast<uint32_t*>(memory.scratch + sizes_.scratch + sizes_.placed);
    return cudaMemcpyAsync(device_, pinned_, raw_bytes, cudaMemcpyHostToDevice, stream_) ==
               cudaSuccess &&
           EncodeFrames(planned.plan.BindEncode(memory), stream_) == cudaSuccess &&
           Bring(placed_at(), memory.placed, streams_ * sizeof(PlacedStream));
  }

  // Whether nothing runs on the stream any more; waits for it, in polls, as a wait inside CUDA has no limit.
  bool Quiet() const {
    if (stream_ == nullptr) return true;
    const auto give_up = std::chrono::steady_clock::now() + kLastWork;
    cudaError_t error;
    while ((error = cudaStreamQuery(stream_)) == cudaErrorNotReady) {
      if (std::chrono::steady_clock::now() > give_up) break;
      std::this_thread::sleep_for(kPollInterval);
    }
    return error == cudaSuccess;
  }

  const CudaCoderOptions& options_;
  const SlotSizes& sizes_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t ready_ = nullptr;
  std::byte* pinned_ = nullptr;  // raw block, image, payload, placed streams
  uint8_t* device_ = nullptr;    // the same, scratch before the last, and flags
  DeviceState state_ = DeviceState::kDone;
  bool coded_ = false;  // the payload is on its way
  uint64_t image_of_ = 0;  // the number of the plan whose image the device has; 0: none
  size_t streams_ = 0;
  uint64_t payload_bytes_ = 0;
};

class CudaCoder final : public DeviceCoder {
 public:
  explicit CudaCoder(const CudaCoderOptions& options) : options_(options), sizes_(options.limits) {}

  cudaError_t Open() {
    for (size_t i = 0; i < options_.slots; ++i) {
      slots_.push_back(std::make_unique<CudaSlot>(options_, sizes_));
      if (const cudaError_t error = slots_.back()->Open(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }

  size_t slots() const override { return slots_.size(); }
  DeviceStart Start(size_t slot, const PlannedBlock& planned,
                    std::span<const std::byte> raw) override {
    return slots_[slot]->Start(planned, raw);
  }
  DeviceState Poll(size_t slot) override { return slots_[slot]->Poll(); }
  DeviceResult Result(size_t slot) const override { return slots_[slot]->Result(); }

 private:
  const CudaCoderOptions options_;
  const SlotSizes sizes_;
  std::vector<std::unique_ptr<CudaSlot>> slots_;
};

absl::Status Refused(cudaError_t error) {
  cudaGetLastError();  // or a later check would report it again
  return InvalidField("codec_device",
                      std::string("gpu, refused: ") + cudaGetErrorName(error) + " (" +
                          cudaGetErrorString(error) + ")",
                      "a CUDA device with memory free, or auto or cpu");
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceCoder>> CreateCudaCoder(const CudaCoderOptions& options) {
  if (const cudaError_t error = cudaSetDevice(options.device); error != cudaSuccess) {
    return Refused(error);
  }
  auto coder = std::make_unique<CudaCoder>(options);
  if (const cudaError_t error = coder->Open(); error != cudaSuccess) return Refused(error);
  return std::unique_ptr<DeviceCoder>(std::move(coder));
}

}  // namespace larder::server
