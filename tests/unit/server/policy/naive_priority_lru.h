// The obvious model of priority bands over LRU, for property tests.
#pragma once

#include <list>
#include <map>
#include <vector>

#include "server/policy/eviction_order.h"

namespace larder::server {

// Bands as plain lists, coldest first; LRU in each.
class NaivePriorityLru {
 public:
  enum class Condition { kAbsent, kOrdered, kParked };

  Condition condition(BlockRef block) const {
    if (parked_.count(block) != 0) return Condition::kParked;
    return priority_.count(block) != 0 ? Condition::kOrdered : Condition::kAbsent;
  }
  void Insert(BlockRef block, uint8_t priority) {
    priority_[block] = priority;
    bands_[priority].push_back(block);
  }
  void Touch(BlockRef block) {
    if (const auto parked = parked_.find(block); parked != parked_.end()) {
      parked->second = true;
      return;
    }
    bands_[priority_[block]].remove(block);
    bands_[priority_[block]].push_back(block);
  }
  void SetPriority(BlockRef block, uint8_t priority) {
    if (priority_[block] == priority) return;
    if (parked_.count(block) == 0) {
      bands_[priority_[block]].remove(block);
      bands_[priority].push_back(block);
    }
    priority_[block] = priority;
  }
  void Remove(BlockRef block) {
    bands_[priority_[block]].remove(block);
    priority_.erase(block);
    parked_.erase(block);
  }
  void Park(BlockRef block) {
    bands_[priority_[block]].remove(block);
    parked_[block] = false;
  }
  void Unpark(BlockRef block) {
    const auto parked = parked_.find(block);
    if (parked == parked_.end()) return;
    std::list<BlockRef>& band = bands_[priority_[block]];
    parked->second ? band.push_back(block) : band.push_front(block);
    parked_.erase(parked);
  }
  // What may go, next first.
  std::vector<BlockRef> Ordered() const {
    std::vector<BlockRef> ordered;
    for (const auto& [priority, band] : bands_) {
      ordered.insert(ordered.end(), band.begin(), band.end());
    }
    return ordered;
  }
  BlockRef Coldest() const {
    for (const auto& [priority, band] : bands_) {
      if (!band.empty()) return band.front();
    }
    return kNoBlock;
  }

 private:
  std::map<uint8_t, std::list<BlockRef>> bands_;
  std::map<BlockRef, uint8_t> priority_;
  std::map<BlockRef, bool> parked_;  // true: touched meanwhile
};

}  // namespace larder::server
