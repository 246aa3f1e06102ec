// A doubly linked queue of blocks threaded through the shared links: the part all orders are built
// of.
//
// Thread-compatible. Owns nothing; `links` must outlive it. Every call is O(1) and touches the
// block and at most two others.
#pragma once

#include "server/base/check.h"
#include "server/policy/eviction_order.h"

namespace larder::server {

class BlockQueue {
 public:
  // `number` marks the blocks of this queue in their links; not 0.
  BlockQueue(OrderLinks& links, uint8_t number) : links_(links), number_(number) {}

  // The one that has waited longest; kNoBlock when empty.
  BlockRef front() const { return front_; }
  size_t size() const { return size_; }
  bool Holds(BlockRef block) const { return links_[block].queue == number_; }

  void PushBack(BlockRef block) {
    Join(block, back_, kNoBlock);
    (back_ == kNoBlock ? front_ : links_[back_].next) = block;
    back_ = block;
  }

  void PushFront(BlockRef block) {
    Join(block, kNoBlock, front_);
    (front_ == kNoBlock ? back_ : links_[front_].previous) = block;
    front_ = block;
  }

  void Erase(BlockRef block) {
    LARDER_DCHECK(Holds(block));
    OrderLink& link = links_[block];
    (link.previous == kNoBlock ? front_ : links_[link.previous].next) = link.next;
    (link.next == kNoBlock ? back_ : links_[link.next].previous) = link.previous;
    link.queue = 0;
    --size_;
  }

 private:
  void Join(BlockRef block, BlockRef previous, BlockRef next) {
    OrderLink& link = links_[block];
    LARDER_DCHECK(link.queue == 0);
    link.previous = previous;
    link.next = next;
    link.queue = number_;
    ++size_;
  }

  OrderLinks& links_;
  const uint8_t number_;
  BlockRef front_ = kNoBlock;
  BlockRef back_ = kNoBlock;
  size_t size_ = 0;
};

}  // namespace larder::server
