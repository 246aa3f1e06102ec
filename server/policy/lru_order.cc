#include "server/policy/lru_order.h"

#include "server/policy/block_queue.h"

namespace larder::server {
namespace {

class LruOrder final : public EvictionOrder {
 public:
  explicit LruOrder(OrderLinks& links) : queue_(links, 1) {}

  void Insert(BlockRef block, uint64_t /*fingerprint*/) override { queue_.PushBack(block); }
  void InsertColdest(BlockRef block) override { queue_.PushFront(block); }
  void Touch(BlockRef block) override {
    queue_.Erase(block);
    queue_.PushBack(block);
  }
  void Remove(BlockRef block, std::optional<uint64_t> /*evicted_fingerprint*/) override {
    queue_.Erase(block);
  }
  BlockRef Coldest() override { return queue_.front(); }

 private:
  BlockQueue queue_;
};

}  // namespace

std::unique_ptr<EvictionOrder> MakeLruOrder(OrderLinks& links) {
  return std::make_unique<LruOrder>(links);
}

}  // namespace larder::server
