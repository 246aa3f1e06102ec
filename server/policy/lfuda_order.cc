#include "server/policy/lfuda_order.h"

#include <bit>
#include <vector>

#include "server/policy/block_queue.h"

namespace larder::server {
namespace {

constexpr uint32_t kKeys = 64;  // one bit each of filled_
constexpr uint8_t kUsesMax = kKeys - 1;

class LfudaOrder final : public EvictionOrder {
 public:
  explicit LfudaOrder(OrderLinks& links) : links_(links) {
    queues_.reserve(kKeys);
    for (uint32_t slot = 0; slot < kKeys; ++slot) {
      queues_.emplace_back(links, static_cast<uint8_t>(slot + 1));
    }
  }

  void Insert(BlockRef block, uint64_t /*fingerprint*/) override {
    links_[block].uses = 1;
    Push(block);
  }

  // Keeps its uses: a touch while it waits counts on top of them.
  void InsertColdest(BlockRef block) override {
    const uint32_t slot = SlotOf(filled_ == 0 ? 0 : Lowest());
    queues_[slot].PushFront(block);
    filled_ |= uint64_t{1} << slot;
  }

  void Touch(BlockRef block) override {
    Erase(block);
    if (links_[block].uses < kUsesMax) ++links_[block].uses;
    Push(block);
  }

  void Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint) override {
    if (evicted_fingerprint.has_value()) age_ += Lowest();
    Erase(block);
  }

  BlockRef Coldest() override {
    return filled_ == 0 ? kNoBlock : queues_[SlotOf(Lowest())].front();
  }

 private:
  // How far the smallest key is above the age. Something is held.
  uint32_t Lowest() const {
    return static_cast<uint32_t>(std::countr_zero(std::rotr(filled_, static_cast<int>(SlotOf(0)))));
  }
  uint32_t SlotOf(uint32_t above_age) const { return (age_ + above_age) % kKeys; }

  void Push(BlockRef block) {
    const uint32_t slot = SlotOf(links_[block].uses);
    queues_[slot].PushBack(block);
    filled_ |= uint64_t{1} << slot;
  }

  void Erase(BlockRef block) {
    const uint32_t slot = links_[block].queue - 1u;
    queues_[slot].Erase(block);
    if (queues_[slot].size() == 0) filled_ &= ~(uint64_t{1} << slot);
  }

  OrderLinks& links_;
  std::vector<BlockQueue> queues_;  // by key modulo kKeys
  uint64_t filled_ = 0;             // queues that hold something
  uint32_t age_ = 0;                // wraps: only its distance to the keys counts
};

}  // namespace

std::unique_ptr<EvictionOrder> MakeLfudaOrder(OrderLinks& links) {
  return std::make_unique<LfudaOrder>(links);
}

}  // namespace larder::server
