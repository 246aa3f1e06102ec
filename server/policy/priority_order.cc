#include "server/policy/priority_order.h"

#include <array>
#include <bit>
#include <utility>

#include "server/base/check.h"

namespace larder::server {
namespace {

constexpr size_t kBands = kPriorityMax + 1;

enum Condition : uint8_t { kAbsent = 0, kOrdered, kParked, kParkedTouched };

bool IsParked(const OrderLink& link) {
  return link.condition == kParked || link.condition == kParkedTouched;
}

}  // namespace

struct PriorityOrder::State {
  State(OrderLinks& links_in, EvictionOrderFactory factory_in)
      : links(links_in), factory(std::move(factory_in)) {}

  EvictionOrder& band_of(const OrderLink& link) {
    std::unique_ptr<EvictionOrder>& band = bands[link.priority];
    if (band == nullptr) band = factory(links);
    return *band;
  }

  // Marks the block's band as one to look into. Coldest() takes the mark away when it finds it
  // empty.
  void MarkFilled(const OrderLink& link) {
    filled[link.priority / 64] |= uint64_t{1} << (link.priority % 64);
  }

  OrderLinks& links;
  const EvictionOrderFactory factory;
  std::array<std::unique_ptr<EvictionOrder>, kBands> bands;
  std::array<uint64_t, (kBands + 63) / 64> filled = {};
};

PriorityOrder::PriorityOrder(OrderLinks& links, EvictionOrderFactory factory)
    : state_(std::make_unique<State>(links, std::move(factory))) {}
PriorityOrder::~PriorityOrder() = default;
PriorityOrder::PriorityOrder(PriorityOrder&&) noexcept = default;

void PriorityOrder::Insert(BlockRef block, uint64_t fingerprint, uint8_t priority) {
  OrderLink& link = state_->links[block];
  LARDER_CHECK(link.condition == kAbsent && priority <= kPriorityMax);
  link.condition = kOrdered;
  link.priority = priority;
  state_->band_of(link).Insert(block, fingerprint);
  state_->MarkFilled(link);
}

void PriorityOrder::Touch(BlockRef block) {
  OrderLink& link = state_->links[block];
  LARDER_CHECK(link.condition != kAbsent);
  if (link.condition == kOrdered) {
    state_->band_of(link).Touch(block);
  } else {
    link.condition = kParkedTouched;
  }
}

void PriorityOrder::SetPriority(BlockRef block, uint64_t fingerprint, uint8_t priority) {
  OrderLink& link = state_->links[block];
  LARDER_CHECK(link.condition != kAbsent && priority <= kPriorityMax);
  if (link.priority == priority) return;
  if (link.condition == kOrdered) state_->band_of(link).Remove(block, std::nullopt);
  link.priority = priority;
  if (link.condition != kOrdered) return;
  state_->band_of(link).Insert(block, fingerprint);
  state_->MarkFilled(link);
}

void PriorityOrder::Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint) {
  OrderLink& link = state_->links[block];
  LARDER_CHECK(link.condition != kAbsent);
  if (link.condition == kOrdered) state_->band_of(link).Remove(block, evicted_fingerprint);
  link.condition = kAbsent;
}

BlockRef PriorityOrder::Coldest() {
  for (size_t word = 0; word < state_->filled.size(); ++word) {
    while (state_->filled[word] != 0) {
      const size_t band = word * 64 + std::countr_zero(state_->filled[word]);
      const BlockRef block = state_->bands[band]->Coldest();
      if (block != kNoBlock) return block;
      state_->filled[word] &= state_->filled[word] - 1;
    }
  }
  return kNoBlock;
}

bool PriorityOrder::MayHaveBelow(uint8_t priority) const {
  for (size_t word = 0; word < state_->filled.size(); ++word) {
    if (state_->filled[word] == 0) continue;
    return word * 64 + std::countr_zero(state_->filled[word]) < priority;
  }
  return false;
}

void PriorityOrder::Park(BlockRef block) {
  OrderLink& link = state_->links[block];
  LARDER_CHECK(link.condition == kOrdered);
  state_->band_of(link).Remove(block, std::nullopt);
  link.condition = kParked;
}

void PriorityOrder::Unpark(BlockRef block) {
  OrderLink& link = state_->links[block];
  if (!IsParked(link)) return;
  const bool touched = link.condition == kParkedTouched;
  link.condition = kOrdered;
  state_->band_of(link).InsertColdest(block);
  if (touched) state_->band_of(link).Touch(block);
  state_->MarkFilled(link);
}

bool PriorityOrder::parked(BlockRef block) const { return IsParked(state_->links[block]); }
uint8_t PriorityOrder::priority(BlockRef block) const { return state_->links[block].priority; }

}  // namespace larder::server
