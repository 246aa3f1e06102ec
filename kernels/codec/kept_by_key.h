// Values that are costly to build and depend on a small key alone, kept for the keys used last: whoever
// chooses keys costs time, never memory.
//
// Shared because a value may be dropped here while it is being used. Thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace larder {

template <typename Key, typename Value>
class KeptByKey {
 public:
  explicit KeptByKey(size_t kept_max) : kept_max_(kept_max) {}

  // The value of `key`: the one kept, or build(), which runs without the lock.
  template <typename Build>
  std::shared_ptr<const Value> Find(const Key& key, const Build& build) {
    if (auto value = Take(key)) return value;
    std::shared_ptr<const Value> built = build();
    const std::lock_guard lock(mutex_);
    if (auto value = TakeLocked(key)) return value;  // another thread was faster
    kept_.emplace_front(key, built);                 // the one used last in front
    if (kept_.size() > kept_max_) kept_.pop_back();
    return built;
  }

 private:
  std::shared_ptr<const Value> Take(const Key& key) {
    const std::lock_guard lock(mutex_);
    return TakeLocked(key);
  }
  std::shared_ptr<const Value> TakeLocked(const Key& key) {
    const auto found = std::find_if(kept_.begin(), kept_.end(),
                                    [&](const auto& entry) { return entry.first == key; });
    if (found == kept_.end()) return nullptr;
    kept_.splice(kept_.begin(), kept_, found);
    return found->second;
  }

  const size_t kept_max_;
  std::mutex mutex_;
  std::list<std::pair<Key, std::shared_ptr<const Value>>> kept_;
};

}  // namespace larder
