// Equal buffers that return to the pool when their last owner lets go, which for a put may be after
// the call has ended (client.h). Touched memory is reused: fresh pages cost more than the copy into
// them. The pool keeps what was once in use at the same time, no more. Thread-safe. Buffers may
// outlive the pool.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace larder::cli {

class BufferPool {
 public:
  explicit BufferPool(size_t buffer_bytes) : cells_(std::make_shared<Cells>(buffer_bytes)) {}

  // Content is unspecified. 64-byte aligned.
  std::shared_ptr<std::byte> Take();

  size_t buffer_bytes() const { return cells_->buffer_bytes; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kAlignment); }
  };
  using Cell = std::unique_ptr<std::byte, Free>;

  struct Cells {
    explicit Cells(size_t bytes) : buffer_bytes(bytes) {}
    const size_t buffer_bytes;
    std::mutex mutex;
    std::vector<Cell> unused;  // guarded by mutex
  };

  // Shared with every buffer, so that the last one out frees it.
  std::shared_ptr<Cells> cells_;
};

inline std::shared_ptr<std::byte> BufferPool::Take() {
  Cell cell;
  {
    std::lock_guard lock(cells_->mutex);
    if (!cells_->unused.empty()) {
      cell = std::move(cells_->unused.back());
      cells_->unused.pop_back();
    }
  }
  if (!cell) {
    cell.reset(static_cast<std::byte*>(::operator new(cells_->buffer_bytes, kAlignment)));
  }
  return {cell.release(), [cells = cells_](std::byte* bytes) {
            std::lock_guard lock(cells->mutex);
            cells->unused.emplace_back(bytes);
          }};
}

}  // namespace larder::cli
