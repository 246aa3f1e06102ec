// A bound on bytes in flight. Grants are move-only and give back what they hold.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

namespace larder::server {

// Thread-safe. Must outlive its grants.
class ByteBudget {
 public:
  class Grant {
   public:
    Grant() = default;
    Grant(ByteBudget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    ~Grant() {
      if (budget_ != nullptr) budget_->used_.fetch_sub(bytes_, std::memory_order_relaxed);
    }
    Grant(Grant&& other) noexcept { *this = std::move(other); }
    Grant& operator=(Grant&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }

   private:
    ByteBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };

  explicit ByteBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // nullopt when `bytes` more would exceed the bound.
  std::optional<Grant> Take(uint64_t bytes) {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > bytes_max_ - used) return std::nullopt;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return Grant(this, bytes);
  }

  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t bytes_max() const { return bytes_max_; }

 private:
  const uint64_t bytes_max_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace larder::server
