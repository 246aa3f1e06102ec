#include "client/cuda_device_memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "client/cuda_buffers.h"
#include "client/cuda_context.h"
#include "client/decode_plan.h"
#include "kernels/codec/device/frame_kernels.cuh"
#include "kernels/cuda_status.h"
#include "kernels/paging/row_copy_launch.cuh"

namespace larder {
namespace {

// Lanes that wait for the next call, and what of a lane's memory waits with it: a stored block of 64 MiB, and small tables.
constexpr size_t kIdleLanesMax = 4;
constexpr uint64_t kKeptDeviceBytes = uint64_t{96} << 20;
constexpr uint64_t kKeptPinnedBytes = uint64_t{16} << 20;
// So much of it is looked at for what the device has passed.
constexpr uint64_t kRecycleBytes = uint64_t{8} << 20;

// A stream, and memory for one stored block at a time. Confined to one thread at a time.
class CudaLane {
 public:
  explicit CudaLane(std::shared_ptr<CudaContext> context) : context_(std::move(context)) {}
  ~CudaLane() {
    const CudaContext::Scope scope(*context_);
    pinned_.Trim(0);
    if (stream_ == nullptr) return;
    for (StreamBuffer* buffer : {&payload_, &image_, &scratch_}) buffer->Free(stream_);
    cudaStreamDestroy(stream_);
  }
  CudaLane(const CudaLane&) = delete;
  CudaLane& operator=(const CudaLane&) = delete;

  bool Open() {
    const CudaContext::Scope scope(*context_);
    return scope.entered() && Did(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  // Makes it ready for another call; nothing runs.
  bool Reset() {
    const CudaContext::Scope scope(*context_);
    if (!scope.entered()) return false;
    decoded_.clear();
    pinned_.Trim(kKeptPinnedBytes);
    if (payload_.bytes() + image_.bytes() + scratch_.bytes() > kKeptDeviceBytes) {
      for (StreamBuffer* buffer : {&payload_, &image_, &scratch_}) buffer->Free(stream_);
      image_of_ = nullptr;
    }
    return true;
  }

  bool CopyIn(void* device, std::span<const std::byte> host) {
    const CudaContext::Scope scope(*context_);
    if (!Enter(scope)) return false;
    const std::byte* const from = Staged(host);
    failed_ = from == nullptr;
    return !failed_ && Copy(device, from, host.size(), cudaMemcpyHostToDevice);
  }
  bool CopyOut(std::span<std::byte> host, const void* device) {
    const CudaContext::Scope scope(*context_);
    return Enter(scope) && BringOut(host, device);
  }

  bool GatherOut(std::span<std::byte> host, const BlockRows& rows, const KvShape& shape) {
    const CudaContext::Scope scope(*context_);
    if (!Enter(scope) || !payload_.Reserve(host.size(), stream_)) return false;
    for (const RowCopy& copy : RowCopiesOf(shape, rows, RawRowsAt(shape, payload_.get()))) {
      if (!Ok(CopyRows(copy, stream_))) return false;
    }
    return BringOut(host, payload_.get());
  }

  DeviceWork::Decoding Decode(const FrameView& frame, std::span<const std::byte> payload,
                              std::shared_ptr<const DecodePlan> plan, const BlockRows& rows) {
    using Decoding = DeviceWork::Decoding;
    const CudaContext::Scope scope(*context_);
    if (!Enter(scope)) return Decoding::kFailed;
    const FramePlan& frames = plan->plan;
    const uint64_t placed_bytes = frame.streams().size() * sizeof(PlacedStream);
    const uint64_t places_bytes = frames.decode_scratch_bytes(1);
    const uint64_t flags_bytes = frames.flags() * sizeof(uint32_t);
    if (!payload_.Reserve(payload.size(), stream_) ||
        !scratch_.Reserve(places_bytes + placed_bytes + flags_bytes, stream_)) {
      return Decoding::kUnfit;  // no room there
    }
    FrameMemory memory;
    memory.rows = rows;
    memory.payloads = payload_.get();
    memory.payload_stride = static_cast<int64_t>(payload.size());
    memory.blocks = 1;
    memory.scratch = scratch_.get();
    memory.placed = reinterpret_cast<PlacedStream*>(scratch_.get() + places_bytes);
    memory.refused = reinterpret_cast<uint32_t*>(scratch_.get() + places_bytes + placed_bytes);
    if (!BringImage(plan)) return failed_ ? Decoding::kFailed : Decoding::kUnfit;
    memory.image = image_.get();
    const BoundFrames bound = frames.BindDecode(memory);
    std::byte* const small = pinned_.Take(placed_bytes + flags_bytes);
    if (small == nullptr || !FramesHold(bound, /*encode=*/false)) return Decoding::kUnfit;
    const std::byte* const staged = Staged(payload);
    if (staged == nullptr) return Decoding::kUnfit;
    const std::vector<PlacedStream> placed = PlacedStreamsOf(frame, *plan);
    std::memcpy(small, placed.data(), placed_bytes);
    auto* const flags = reinterpret_cast<uint32_t*>(small + placed_bytes);
    const bool queued =
        Copy(memory.payloads, staged, payload.size(), cudaMemcpyHostToDevice) &&
        Copy(memory.placed, small, placed_bytes, cudaMemcpyHostToDevice) &&
        Ok(DecodeFrames(bound, stream_)) &&
        (!frames.packed() || Copy(flags, memory.refused, flags_bytes, cudaMemcpyDeviceToHost));
    if (!queued) return Decoding::kFailed;
    // Codecs of fixed size decode whatever they have.
    flags_.push_back({flags, frames.packed() ? frames.flags() : 0});
    return Decoding::kQueued;
  }

  DeviceWork::State Poll() {
    const CudaContext::Scope scope(*context_);
    if (!scope.entered()) failed_ = true;
    if (failed_) return Running() ? DeviceWork::State::kRuns : DeviceWork::State::kFailed;
    if (Running()) return DeviceWork::State::kRuns;
    if (failed_) return DeviceWork::State::kFailed;
    Settle();
    return DeviceWork::State::kDone;
  }
  bool Decoded(size_t nth) const { return decoded_[nth] != 0; }

 private:
  bool Ok(cudaError_t error) {
    failed_ = !Did(error) || failed_;
    return !failed_;
  }
  // Before each operation. What another library left as this thread's last error is not ours: a launcher would report it.
  bool Enter(const CudaContext::Scope& scope) {
    failed_ = failed_ || !scope.entered();
    if (failed_) return false;
    cudaGetLastError();
    if (pinned_.taken() > kRecycleBytes && !Running() && !failed_) Settle();
    return !failed_;
  }
  bool Running() {
    const cudaError_t error = cudaStreamQuery(stream_);
    if (error == cudaErrorNotReady) {
      cudaGetLastError();  // it is no error
      return true;
    }
    Ok(error);
    return false;
  }
  // The stream has passed all: what it brought goes where it belongs, and pinned pieces are free.
  void Settle() {
    for (const Landing& landing : landings_) {
      std::memcpy(landing.host.data(), landing.piece, landing.host.size());
    }
    landings_.clear();
    for (const Flags& flags : flags_) {
      const uint32_t* const end = flags.words + flags.count;
      decoded_.push_back(
          std::all_of(flags.words, end, [](uint32_t refused) { return refused == 0; }));
    }
    flags_.clear();
    pinned_.GiveAllBack();
  }

  bool Copy(void* to, const void* from, uint64_t bytes, cudaMemcpyKind kind) {
    return Ok(cudaMemcpyAsync(to, from, bytes, kind, stream_));
  }
  static bool IsPinned(const void* host) {
    cudaPointerAttributes attributes{};
    return Did(cudaPointerGetAttributes(&attributes, host)) &&
           attributes.type == cudaMemoryTypeHost;
  }
  // The bytes in pinned memory: from elsewhere a copy would wait for the device. Null when there is no room.
  const std::byte* Staged(std::span<const std::byte> host) {
    if (IsPinned(host.data())) return host.data();
    std::byte* const piece = pinned_.Take(host.size());
    if (piece != nullptr) std::memcpy(piece, host.data(), host.size());
    return piece;
  }
  bool BringOut(std::span<std::byte> host, const void* device) {
    if (IsPinned(host.data()))
      return Copy(host.data(), device, host.size(), cudaMemcpyDeviceToHost);
    std::byte* const piece = pinned_.Take(host.size());
    failed_ = piece == nullptr;
    if (failed_ || !Copy(piece, device, host.size(), cudaMemcpyDeviceToHost)) return false;
    landings_.push_back({host, piece});
    return true;
  }
  // The plan's tables, unless they are there from the block before.
  bool BringImage(std::shared_ptr<const DecodePlan> plan) {
    const auto image = plan->plan.image();
    if (image_of_ == plan || image.empty()) return true;
    std::byte* const pinned = pinned_.Take(image.size());
    image_of_ = nullptr;
    if (pinned == nullptr || !image_.Reserve(image.size(), stream_)) return false;
    std::memcpy(pinned, image.data(), image.size());
    image_of_ = std::move(plan);
    return Copy(image_.get(), pinned, image.size(), cudaMemcpyHostToDevice);
  }

  const std::shared_ptr<CudaContext> context_;
  cudaStream_t stream_ = nullptr;
  StreamBuffer payload_;
  StreamBuffer image_;
  StreamBuffer scratch_;  // places, placed streams, flags
  PinnedPieces pinned_;
  std::shared_ptr<const DecodePlan> image_of_;  // the plan whose image the device has
  struct Flags {
    const uint32_t* words;
    uint32_t count;
  };
  std::vector<Flags> flags_;   // of each block decoded since Settle
  std::vector<char> decoded_;  // before
  struct Landing {
    std::span<std::byte> host;
    const std::byte* piece;
  };
  std::vector<Landing> landings_;
  bool failed_ = false;
};

// Lanes between calls. A lane whose work has not ended is not one of them, nor freed: the device may still use it.
class CudaLanes {
 public:
  std::unique_ptr<CudaLane> Take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto lane = std::move(idle_.back());
    idle_.pop_back();
    return lane;
  }
  void GiveBack(std::unique_ptr<CudaLane> lane) {
    const DeviceWork::State state = lane->Poll();
    if (state == DeviceWork::State::kRuns) {
      [[maybe_unused]] CudaLane* const lost = lane.release();
      return;
    }
    if (state != DeviceWork::State::kDone || !lane->Reset()) return;
    std::lock_guard lock(mutex_);
    if (idle_.size() < kIdleLanesMax) idle_.push_back(std::move(lane));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<CudaLane>> idle_;
};

class CudaWork final : public DeviceWork {
 public:
  CudaWork(std::shared_ptr<CudaLanes> lanes, std::shared_ptr<DecodePlans> plans,
           std::unique_ptr<CudaLane> lane)
      : lanes_(std::move(lanes)), plans_(std::move(plans)), lane_(std::move(lane)) {}
  ~CudaWork() override { lanes_->GiveBack(std::move(lane_)); }

  bool CopyIn(std::byte* device, std::span<const std::byte> host) override {
    return lane_->CopyIn(device, host);
  }
  bool CopyOut(std::span<std::byte> host, const std::byte* device) override {
    return lane_->CopyOut(host, device);
  }
  bool GatherOut(std::span<std::byte> host, const BlockRows& rows, const KvShape& shape) override {
    return lane_->GatherOut(host, rows, shape);
  }
  Decoding Decode(const FrameView& frame, std::span<const std::byte> payload,
                  const BlockRows& rows) override {
    auto plan = plans_->Find(frame);
    if (plan == nullptr) return Decoding::kUnfit;
    return lane_->Decode(frame, payload, std::move(plan), rows);
  }
  State Poll() override { return lane_->Poll(); }
  bool Decoded(size_t nth) const override { return lane_->Decoded(nth); }

 private:
  const std::shared_ptr<CudaLanes> lanes_;
  const std::shared_ptr<DecodePlans> plans_;
  std::unique_ptr<CudaLane> lane_;
};

class CudaDeviceMemory final : public DeviceMemory {
 public:
  explicit CudaDeviceMemory(std::shared_ptr<CudaContext> context) : context_(std::move(context)) {}

  std::string name() const override { return context_->name(); }
  MemoryPlace PlaceOf(const void* memory) const override {
    if (memory == nullptr) return MemoryPlace::kHost;
    const CudaContext::Scope scope(*context_);
    cudaPointerAttributes attributes{};
    if (!scope.entered() || !Did(cudaPointerGetAttributes(&attributes, memory))) {
      return MemoryPlace::kElsewhere;
    }
    if (attributes.type != cudaMemoryTypeDevice) return MemoryPlace::kHost;
    return attributes.device == context_->device() ? MemoryPlace::kDevice : MemoryPlace::kElsewhere;
  }
  std::shared_ptr<std::byte> Allocate(uint64_t bytes) override {
    const CudaContext::Scope scope(*context_);
    void* memory = nullptr;
    if (!scope.entered() || !Did(cudaMalloc(&memory, bytes))) return nullptr;
    return {static_cast<std::byte*>(memory), [context = context_](std::byte* at) {
              const CudaContext::Scope current(*context);
              cudaFree(at);
            }};
  }
  absl::Status Pin(std::span<std::byte> host) override {
    const CudaContext::Scope scope(*context_);
    return CudaStatus(cudaHostRegister(host.data(), host.size(), cudaHostRegisterPortable),
                      "cudaHostRegister");
  }
  void Unpin(std::span<std::byte> host) override {
    const CudaContext::Scope scope(*context_);
    Did(cudaHostUnregister(host.data()));
  }
  std::unique_ptr<DeviceWork> Begin() override {
    auto lane = lanes_->Take();
    if (lane == nullptr) {
      lane = std::make_unique<CudaLane>(context_);
      if (!lane->Open()) return nullptr;
    }
    return std::make_unique<CudaWork>(lanes_, plans_, std::move(lane));
  }

 private:
  const std::shared_ptr<CudaContext> context_;
  const std::shared_ptr<CudaLanes> lanes_ = std::make_shared<CudaLanes>();
  const std::shared_ptr<DecodePlans> plans_ = std::make_shared<DecodePlans>();
};

}  // namespace

absl::StatusOr<std::shared_ptr<DeviceMemory>> OpenCudaDevice(int device) {
  auto context = CudaContext::Open(device);
  if (!context.ok()) return context.status();
  return std::make_shared<CudaDeviceMemory>(*std::move(context));
}

}  // namespace larder
