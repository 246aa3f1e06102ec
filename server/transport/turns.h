// One run at a time of work that several threads may wake, without a lock held while it runs.
//
//   if (turns.Wake()) pool.Post([this] { while (!turns.Run([this] { return Work(); })) ...; });
//
// Whoever changes what the work looks at calls Wake afterwards; if a run is on, it looks again before it
// ends. What was written before Wake is seen by the run. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace larder::server {

class Turns {
 public:
  // True when no run is on or due: the caller must see to one call of Run.
  bool Wake() { return wakes_.fetch_add(1, std::memory_order_acq_rel) == 0; }

  // Calls `work` until it has seen everything. `work` returns false to be called again later although
  // nothing changed (it gives way to others): then Run returns false and must be called again.
  template <typename Work>
  bool Run(Work&& work) {
    uint32_t seen = wakes_.load(std::memory_order_acquire);
    do {
      if (!work()) return false;
    } while (!wakes_.compare_exchange_strong(seen, 0, std::memory_order_acq_rel));
    return true;
  }

 private:
  std::atomic<uint32_t> wakes_{0};
};

}  // namespace larder::server
