#include "server/ssd/thread_queue.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace larder::server {
namespace {

// Blocks until the operation has ended; its error.
int Run(int file, IoOperation& operation) {
  int error = IoOperation::kMore;
  while (error == IoOperation::kMore) {
    std::byte* memory = operation.memory + operation.transferred;
    const uint64_t bytes = operation.bytes - operation.transferred;
    const auto offset = static_cast<off_t>(operation.offset + operation.transferred);
    ssize_t answer = 0;
    switch (operation.kind) {
      case IoOperation::Kind::kRead:
        answer = pread(file, memory, bytes, offset);
        break;
      case IoOperation::Kind::kWrite:
        answer = pwrite(file, memory, bytes, offset);
        break;
      case IoOperation::Kind::kSync:
        answer = fdatasync(file);
        break;
    }
    error = operation.Take(answer < 0 ? -errno : answer);
  }
  return error;
}

}  // namespace

ThreadQueue::ThreadQueue(const IoQueueOptions& options)
    : file_(options.file), schedule_(options.depth) {
  uint32_t depth = 0;
  {
    MutexLock lock(mutex_);
    depth = schedule_.depth();
  }
  for (uint32_t i = 0; i < depth; ++i) threads_.emplace_back([this] { Work(); });
}

ThreadQueue::~ThreadQueue() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  changed_.NotifyAll();
}

void ThreadQueue::Read(uint64_t offset, std::span<std::byte> into, IoDone done) {
  Push(IoOperation::Read(offset, into, std::move(done)));
}
void ThreadQueue::Write(uint64_t offset, std::span<const std::byte> from, IoDone done) {
  Push(IoOperation::Write(offset, from, std::move(done)));
}
void ThreadQueue::Sync(IoDone done) { Push(IoOperation::Sync(std::move(done))); }

void ThreadQueue::Push(std::unique_ptr<IoOperation> operation) {
  {
    MutexLock lock(mutex_);
    schedule_.Push(std::move(operation));
  }
  changed_.NotifyOne();
}

std::unique_ptr<IoOperation> ThreadQueue::Next() {
  MutexLock lock(mutex_);
  while (true) {
    if (std::unique_ptr<IoOperation> operation = schedule_.Pop()) return operation;
    if (closing_ && schedule_.idle()) return nullptr;
    changed_.Wait(mutex_);
  }
}

void ThreadQueue::Work() {
  while (std::unique_ptr<IoOperation> operation = Next()) {
    const int error = Run(file_, *operation);
    {
      MutexLock lock(mutex_);
      schedule_.Finished(*operation);
    }
    changed_.NotifyAll();  // what had to wait for this one may go now
    operation->done(error);
  }
}

}  // namespace larder::server
