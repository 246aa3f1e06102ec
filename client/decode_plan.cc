#include "client/decode_plan.h"

#include <algorithm>
#include <utility>

#include "kernels/codec/codec_params.h"
#include "kernels/codec/registry.h"

namespace larder {
namespace {

bool Turns(const StreamCodec& codec) { return (codec.params.transform & kTransformUnrope) != 0; }

}  // namespace

std::shared_ptr<const DecodePlan> DecodePlans::Find(const FrameView& frame) {
  std::vector<StreamCodec> codecs;
  for (const StreamEntry& stream : frame.streams()) {
    const auto codec = ReadDescriptor(frame.descriptors()[stream.descriptor]);
    if (!codec) return nullptr;
    codecs.push_back(*codec);
  }
  const uint64_t position = std::ranges::any_of(codecs, Turns) ? frame.header().token_begin : 0;
  const KvShape shape = frame.shape();
  {
    std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(plans_, [&](const auto& kept) {
      return kept->position == position && kept->shape == shape && kept->codecs == codecs;
    });
    if (found != plans_.end()) {
      plans_.splice(plans_.begin(), plans_, found);
      return plans_.front();
    }
  }
  // Made without the lock: two threads may make the same, and both are kept for a while.
  auto plan = FramePlan::Create(shape, codecs, position, FramePlacing::kFixed);
  // Streams of fixed size stand where the plan has them, or this is not a frame of ours.
  if (!plan || (!plan->packed() && plan->payload_bytes() !=
                                       frame.header().frame_bytes - frame.header().header_bytes)) {
    return nullptr;
  }
  auto made = std::make_shared<const DecodePlan>(
      DecodePlan{shape, std::move(codecs), position, *std::move(plan)});
  std::lock_guard lock(mutex_);
  plans_.push_front(made);
  image_bytes_ += made->plan.image().size();
  while (image_bytes_ > kImageBytesMax && plans_.size() > 1) {
    image_bytes_ -= plans_.back()->plan.image().size();
    plans_.pop_back();
  }
  return made;
}

std::vector<PlacedStream> PlacedStreamsOf(const FrameView& frame, const DecodePlan& plan) {
  std::vector<PlacedStream> placed;
  for (size_t i = 0; i < frame.streams().size(); ++i) {
    const StreamEntry& stream = frame.streams()[i];
    placed.push_back({.offset = stream.offset - frame.header().header_bytes,
                      .bytes = stream.bytes,
                      .raw = plan.codecs[i].id == CodecId::kRaw ? 1u : 0u});
  }
  return placed;
}

}  // namespace larder
