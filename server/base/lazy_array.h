// A fixed-capacity array of trivial elements in reserved address space: memory is committed
// (zeroed) page by page on first touch, so a large bound costs nothing until it is used, elements
// never move, and growth never copies.
//
// Thread-compatible; distinct elements may be used by distinct threads. Aborts when the address
// space can not be reserved (start-up only).
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <type_traits>
#include <utility>

#include "server/base/check.h"

namespace larder::server {

template <typename T>
class LazyArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  LazyArray() = default;
  explicit LazyArray(size_t capacity) : capacity_(capacity) {
    if (capacity == 0) return;
    void* memory = ::mmap(nullptr, capacity * sizeof(T), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    LARDER_CHECK(memory != MAP_FAILED);
    // Randomly accessed tables spend most of a miss in the page walk; small ones are left alone, so
    // that they stay small.
    if (capacity * sizeof(T) >= kHugePagesFrom)
      ::madvise(memory, capacity * sizeof(T), MADV_HUGEPAGE);
    elements_ = static_cast<T*>(memory);
  }
  ~LazyArray() {
    if (elements_ != nullptr) ::munmap(elements_, capacity_ * sizeof(T));
  }
  LazyArray(LazyArray&& other) noexcept { *this = std::move(other); }
  LazyArray& operator=(LazyArray&& other) noexcept {
    std::swap(elements_, other.elements_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }

  T& operator[](size_t i) {
    LARDER_DCHECK(i < capacity_);
    return elements_[i];
  }
  const T& operator[](size_t i) const {
    LARDER_DCHECK(i < capacity_);
    return elements_[i];
  }
  size_t capacity() const { return capacity_; }

 private:
  static constexpr size_t kHugePagesFrom = size_t{16} << 20;

  T* elements_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace larder::server
