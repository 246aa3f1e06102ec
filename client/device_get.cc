#include "client/device_get.h"

#include <algorithm>
#include <utility>

#include "kernels/codec/block_coder.h"

namespace larder {
namespace {

bool IsRaw(const FrameView& frame) {
  return std::ranges::all_of(frame.streams(), [&](const StreamEntry& stream) {
    return frame.descriptors()[stream.descriptor].codec_id == kCodecRaw;
  });
}

// The part of a payload that is a stream.
std::span<const std::byte> StreamOf(const FrameView& frame, size_t index,
                                    std::span<const std::byte> payload) {
  const StreamEntry& stream = frame.streams()[index];
  return payload.subspan(stream.offset - frame.header().header_bytes, stream.bytes);
}

}  // namespace

std::shared_ptr<DeviceGet> DeviceGet::Take(DeviceCalls& calls, std::vector<GetBlock>& blocks) {
  std::map<uint32_t, Target> targets;
  for (uint32_t i = 0; i < blocks.size(); ++i) {
    std::byte* const memory = blocks[i].destination.data();
    if (blocks[i].rows) {
      targets[i].rows = std::exchange(blocks[i].rows, std::nullopt);
      blocks[i].destination = {};
    } else if (!blocks[i].destination.empty() && calls.PlaceOf(memory) != MemoryPlace::kHost) {
      targets[i].raw = memory;
      blocks[i].destination = {};
    }
  }
  if (targets.empty()) return nullptr;
  return std::shared_ptr<DeviceGet>(new DeviceGet(calls, std::move(targets)));
}

void DeviceGet::Start(uint32_t index, const FrameReceiver& receiver, CoderPool& coders,
                      std::shared_ptr<const void> window) {
  std::lock_guard lock(mutex_);
  if (ended_ || !failed_.ok()) return;
  if (work_ == nullptr) {
    auto work = calls_.Begin();
    if (!work.ok()) {
      failed_ = work.status();
      return;
    }
    work_ = *std::move(work);
  }
  coders_ = &coders;
  targets_.at(index).layers = receiver.layers_ready();
  if (window == nullptr) window = receiver.view_memory();
  Block block{index, receiver.frame(), receiver.view(), std::move(window)};
  if (waiting_.empty() && HasRoom()) {
    StartLocked(std::move(block));
  } else {
    waiting_.push_back(std::move(block));
  }
}

bool DeviceGet::HasRoom() {
  const auto full = [this] {
    return under_way_bytes_ >= kUnderWayBytesMax || under_way_blocks_ >= kUnderWayBlocksMax;
  };
  if (full() && work_->Poll() == DeviceWork::State::kDone) under_way_bytes_ = under_way_blocks_ = 0;
  return !full();
}

void DeviceGet::StartLocked(Block block) {
  Target& target = targets_.at(block.index);
  target.decoding.reset();
  target.unfit = false;
  under_way_bytes_ += block.payload.size();
  ++under_way_blocks_;
  target.started = Bring(target, block.frame, block.payload);
  if (owners_.empty() || owners_.back() != block.owner) owners_.push_back(std::move(block.owner));
}

bool DeviceGet::Bring(Target& target, const FrameView& frame, std::span<const std::byte> payload) {
  if (!target.rows && IsRaw(frame)) return CopyRaw(target, frame, payload);
  auto* const raw = reinterpret_cast<uint8_t*>(target.raw);
  switch (
      work_->Decode(frame, payload, target.rows ? *target.rows : RawRowsAt(frame.shape(), raw))) {
    case DeviceWork::Decoding::kQueued:
      target.decoding = decodings_++;
      return true;
    case DeviceWork::Decoding::kUnfit:
      if (!target.rows) return DecodeHere(target, frame, payload);
      target.unfit = true;
      return false;
    case DeviceWork::Decoding::kFailed:
      break;
  }
  return false;
}

// Streams that follow each other without a gap go in one copy.
bool DeviceGet::CopyRaw(const Target& target, const FrameView& frame,
                        std::span<const std::byte> payload) {
  const std::vector<RawStream> raw = RawStreams(frame.shape());
  for (size_t i = 0; i < raw.size();) {
    std::span<const std::byte> run = StreamOf(frame, i, payload);
    std::byte* const to = target.raw + raw[i].offset;
    for (++i; i < raw.size(); ++i) {
      const auto next = StreamOf(frame, i, payload);
      if (next.data() != run.data() + run.size()) break;
      run = {run.data(), run.size() + next.size()};
    }
    if (!work_->CopyIn(to, run)) return false;
  }
  return true;
}

bool DeviceGet::DecodeHere(const Target& target, const FrameView& frame,
                           std::span<const std::byte> payload) {
  const uint64_t bytes = frame.header().raw_bytes;
  const std::shared_ptr<std::byte[]> raw(new std::byte[bytes]);
  const RawTarget rows(frame.shape(), {raw.get(), bytes});
  const auto coder = coders_->Take();
  for (size_t i = 0; i < frame.streams().size(); ++i) {
    if (!coder->DecodeStream(frame, i, StreamOf(frame, i, payload), rows)) return false;
  }
  return work_->CopyIn(target.raw, {raw.get(), bytes});
}

void DeviceGet::AwaitLocked(std::vector<GetResult>& results, SystemTime deadline) {
  if (work_ == nullptr || ended_) return;
  for (const auto& [index, target] : targets_) {
    if (results[index].owner != nullptr) owners_.push_back(std::move(results[index].owner));
    results[index].view = {};
  }
  while (true) {
    const absl::Status status = calls_.Await(work_, deadline, owners_);
    if (!status.ok()) {
      ended_ = true;
      failed_ = status;
      waiting_.clear();
    }
    under_way_bytes_ = under_way_blocks_ = 0;
    if (waiting_.empty()) break;
    while (!waiting_.empty() && HasRoom()) {
      StartLocked(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  owners_.clear();
}

void DeviceGet::Await(std::vector<GetResult>& results, SystemTime deadline) {
  std::lock_guard lock(mutex_);
  AwaitLocked(results, deadline);
}

absl::Status DeviceGet::End(std::vector<GetResult>& results, const GetOptions& options,
                            SystemTime deadline) {
  std::vector<std::pair<uint32_t, uint32_t>> layers;  // to be told, by position
  {
    std::lock_guard lock(mutex_);
    AwaitLocked(results, deadline);
    ended_ = true;
    if (!failed_.ok()) return failed_;
    for (const auto& [index, target] : targets_) {
      GetResult& result = results[index];
      if (!result.hit) continue;
      // Verified, and yet not what an encoder makes.
      const bool sound = target.started && (!target.decoding || work_->Decoded(*target.decoding));
      if (sound) {
        layers.emplace_back(index, target.layers);
        continue;
      }
      result = {};
      result.miss_reason = target.unfit ? MissReason::kBusy : MissReason::kCorrupt;
    }
  }
  for (const auto& [index, ready] : layers) {
    if (options.on_layers) options.on_layers(index, ready);
  }
  return absl::OkStatus();
}

}  // namespace larder
