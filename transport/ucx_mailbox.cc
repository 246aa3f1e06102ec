#include "transport/ucx_mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace larder::transport {

UcxMailbox::UcxMailbox() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

UcxMailbox::~UcxMailbox() {
  if (fd_ >= 0) ::close(fd_);
}

bool UcxMailbox::Post(std::function<void()> task) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    if (shut_) return false;
    wake = tasks_.empty() && !awake_;
    tasks_.push_back(std::move(task));
  }
  if (wake) Ring();
  return true;
}

void UcxMailbox::Ring() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof(one));
}

void UcxMailbox::Wake() {
  std::lock_guard lock(mutex_);
  awake_ = true;
}

bool UcxMailbox::Rest() {
  std::lock_guard lock(mutex_);
  awake_ = !tasks_.empty();
  return !awake_;
}

bool UcxMailbox::Run() {
  std::vector<std::function<void()>> tasks;
  {
    std::lock_guard lock(mutex_);
    if (tasks_.empty()) return false;
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task();
  return true;
}

void UcxMailbox::RunSoon() {
  for (const auto& task : std::exchange(soon, {})) task();
}

void UcxMailbox::Shut() {
  // Not kept: what a task holds may hold this mailbox.
  std::vector<std::function<void()>> dropped;  // destroyed after the lock
  soon.clear();
  {
    std::lock_guard lock(mutex_);
    shut_ = true;
    dropped.swap(tasks_);
  }
}

}  // namespace larder::transport
