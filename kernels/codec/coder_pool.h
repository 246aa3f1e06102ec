// Block coders for threads that come and go: each is taken for one block and given back, so that
// scratch memory and rotation tables are kept, a block's worth each. As many are in use at once as the
// caller has threads; at most kIdleMax are kept when idle. Thread-safe; outlives its loans.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/codec/block_coder.h"

namespace larder {

class CoderPool {
 public:
  // Gives its coder back when destroyed. Move-only.
  class Loan {
   public:
    Loan(CoderPool* pool, std::unique_ptr<BlockCoder> coder)
        : pool_(pool), coder_(std::move(coder)) {}
    ~Loan() {
      if (coder_ != nullptr) pool_->GiveBack(std::move(coder_));
    }
    Loan(Loan&& other) noexcept : pool_(other.pool_), coder_(std::move(other.coder_)) {}
    Loan& operator=(Loan&&) = delete;
    BlockCoder& operator*() const { return *coder_; }
    BlockCoder* operator->() const { return coder_.get(); }

   private:
    CoderPool* pool_;
    std::unique_ptr<BlockCoder> coder_;
  };

  Loan Take() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<BlockCoder> coder = std::move(idle_.back());
        idle_.pop_back();
        return Loan(this, std::move(coder));
      }
    }
    return Loan(this, std::make_unique<BlockCoder>());
  }

  static constexpr size_t kIdleMax =
      64;  // cores of one socket; more is a burst's memory kept for ever

 private:
  void GiveBack(std::unique_ptr<BlockCoder> coder) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < kIdleMax) idle_.push_back(std::move(coder));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<BlockCoder>> idle_;
};

}  // namespace larder
