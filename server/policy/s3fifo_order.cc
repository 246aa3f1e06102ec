#include "server/policy/s3fifo_order.h"

#include <utility>

#include "server/policy/block_queue.h"

namespace larder::server {
namespace {

constexpr uint8_t kUsesMax =
    3;  // the paper's two bits: more only delays the end of a former favourite

class S3FifoOrder final : public EvictionOrder {
 public:
  S3FifoOrder(OrderLinks& links, std::shared_ptr<GhostTable> ghosts)
      : links_(links), small_(links, 1), main_(links, 2), ghosts_(std::move(ghosts)) {}

  void Insert(BlockRef block, uint64_t fingerprint) override {
    links_[block].uses = 0;
    (ghosts_->Take(fingerprint) ? main_ : small_).PushBack(block);
  }

  void InsertColdest(BlockRef block) override {
    links_[block].uses = 0;
    // Into the queue that Coldest() turns to once the block is counted.
    (small_.size() + 1 >= main_.size() ? small_ : main_).PushFront(block);
  }

  void Touch(BlockRef block) override {
    OrderLink& link = links_[block];
    if (link.uses < kUsesMax) ++link.uses;
  }

  void Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint) override {
    if (main_.Holds(block)) {
      main_.Erase(block);
      return;
    }
    small_.Erase(block);
    if (evicted_fingerprint.has_value()) ghosts_->Remember(*evicted_fingerprint);
  }

  // Every round takes at least one use away, and each Touch brings one at most: O(1) amortised.
  BlockRef Coldest() override {
    for (;;) {
      const bool from_small = small_.size() >= main_.size();
      BlockQueue& queue = from_small ? small_ : main_;
      const BlockRef block = queue.front();
      if (block == kNoBlock || links_[block].uses == 0) return block;
      OrderLink& link = links_[block];
      link.uses = from_small ? 0 : link.uses - 1;
      queue.Erase(block);
      main_.PushBack(block);
    }
  }

 private:
  OrderLinks& links_;
  BlockQueue small_;
  BlockQueue main_;
  const std::shared_ptr<GhostTable> ghosts_;  // shared by the orders of all bands
};

}  // namespace

std::unique_ptr<EvictionOrder> MakeS3FifoOrder(OrderLinks& links,
                                               std::shared_ptr<GhostTable> ghosts) {
  return std::make_unique<S3FifoOrder>(links, std::move(ghosts));
}

}  // namespace larder::server
