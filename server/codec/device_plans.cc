#include "server/codec/device_plans.h"

#include <algorithm>
#include <utility>

namespace larder::server {
namespace {

bool Codes(const StreamCodec& codec) { return codec.id != CodecId::kRaw; }
bool Turns(const StreamCodec& codec) { return (codec.params.transform & kTransformUnrope) != 0; }

}  // namespace

std::shared_ptr<const PlannedBlock> DevicePlans::Kept(const KvShape& shape,
                                                      std::span<const StreamCodec> codecs,
                                                      uint64_t position) {
  MutexLock lock(mutex_);
  const auto found = std::ranges::find_if(plans_, [&](const auto& kept) {
    return kept->position == position && kept->shape == shape &&
           std::ranges::equal(kept->codecs, codecs);
  });
  if (found == plans_.end()) return nullptr;
  plans_.splice(plans_.begin(), plans_, found);
  return plans_.front();
}

std::shared_ptr<std::atomic<bool>> DevicePlans::ProofLocked(const KvShape& shape,
                                                            std::span<const StreamCodec> codecs) {
  for (const auto& kept : plans_) {
    if (kept->shape == shape && std::ranges::equal(kept->codecs, codecs)) return kept->proven;
  }
  return std::make_shared<std::atomic<bool>>(false);
}

std::shared_ptr<const PlannedBlock> DevicePlans::Find(const BlockRecipe& recipe,
                                                      const KvShape& shape, uint64_t token_begin) {
  std::vector<StreamCodec> codecs = CodecsOf(recipe, shape, token_begin);
  if (!std::ranges::any_of(codecs, Codes)) return nullptr;
  const uint64_t position = std::ranges::any_of(codecs, Turns) ? token_begin : 0;
  if (auto kept = Kept(shape, codecs, position)) return kept;
  // Made without the lock: two threads may make the same, and both are kept for a while.
  auto plan = FramePlan::Create(shape, codecs, position, FramePlacing::kPacked);
  if (!plan) return nullptr;
  MutexLock lock(mutex_);
  auto proven = ProofLocked(shape, codecs);
  auto made = std::make_shared<const PlannedBlock>(PlannedBlock{
      shape, std::move(codecs), position, *std::move(plan), std::move(proven), ++made_});
  plans_.push_front(made);
  if (plans_.size() > kPlansMax) plans_.pop_back();
  return made;
}

std::vector<CodedStream> StreamsOf(const PlannedBlock& planned,
                                   std::span<const PlacedStream> placed) {
  std::vector<CodedStream> streams;
  for (size_t i = 0; i < placed.size(); ++i) {
    streams.push_back({placed[i].raw != 0 ? StreamCodec{} : planned.codecs[i], placed[i].bytes});
  }
  return streams;
}

uint64_t PayloadBytes(std::span<const PlacedStream> placed) {
  return placed.empty() ? 0 : AlignFrame(placed.back().offset + placed.back().bytes);
}

}  // namespace larder::server
