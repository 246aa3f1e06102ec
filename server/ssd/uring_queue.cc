#include "server/ssd/uring_queue.h"

#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "server/base/check.h"

namespace larder::server {

// The kernel's side. Confined to the owner thread.
struct UringQueue::Ring {
  io_uring uring{};
  bool open = false;
  bool file_registered = false;
  bool memory_registered = false;
  bool wake_armed = false;
  uint64_t wake_value = 0;

  ~Ring() {
    if (open) io_uring_queue_exit(&uring);
  }

  bool Open(const IoQueueOptions& options, uint32_t depth) {
    // Entries: every operation in flight, and the read of the eventfd.
    const unsigned entries = depth + 1;
    int error = -EINVAL;
    for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, 0u}) {
      io_uring_params params{};
      params.flags = flags;
      error = io_uring_queue_init_params(entries, &uring, &params);
      if (error == 0) break;
    }
    if (error != 0) return false;
    open = true;
    file_registered = io_uring_register_files(&uring, &options.file, 1) == 0;
    if (!options.registered.empty()) {
      const iovec memory{options.registered.data(), options.registered.size()};
      memory_registered = io_uring_register_buffers(&uring, &memory, 1) == 0;
    }
    return true;
  }

  void Prepare(const IoQueueOptions& options, IoOperation& operation) {
    io_uring_sqe* sqe = io_uring_get_sqe(&uring);
    LARDER_CHECK(sqe != nullptr);  // there are entries for the whole depth
    const int file = file_registered ? 0 : options.file;
    std::byte* memory = operation.memory + operation.transferred;
    const auto bytes = static_cast<unsigned>(operation.bytes - operation.transferred);
    const uint64_t offset = operation.offset + operation.transferred;
    const bool fixed = memory_registered && memory >= options.registered.data() &&
                       memory + bytes <= options.registered.data() + options.registered.size();
    switch (operation.kind) {
      case IoOperation::Kind::kRead:
        fixed ? io_uring_prep_read_fixed(sqe, file, memory, bytes, offset, 0)
              : io_uring_prep_read(sqe, file, memory, bytes, offset);
        break;
      case IoOperation::Kind::kWrite:
        fixed ? io_uring_prep_write_fixed(sqe, file, memory, bytes, offset, 0)
              : io_uring_prep_write(sqe, file, memory, bytes, offset);
        break;
      case IoOperation::Kind::kSync:
        io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
        break;
    }
    if (file_registered) io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, &operation);
  }

  void ArmWake(int wake) {
    if (wake_armed) return;
    io_uring_sqe* sqe = io_uring_get_sqe(&uring);
    LARDER_CHECK(sqe != nullptr);
    io_uring_prep_read(sqe, wake, &wake_value, sizeof(wake_value), 0);
    io_uring_sqe_set_data(sqe, nullptr);
    wake_armed = true;
  }
};

std::unique_ptr<UringQueue> UringQueue::Open(const IoQueueOptions& options) {
  std::unique_ptr<UringQueue> queue(new UringQueue(options));
  if (queue->wake_ < 0) return nullptr;
  std::promise<bool> opened;
  std::future<bool> answer = opened.get_future();
  // The ring belongs to the thread that makes it.
  queue->owner_ = std::thread(
      [&queue = *queue, opened = std::move(opened)]() mutable { queue.Own(std::move(opened)); });
  if (!answer.get()) return nullptr;
  return queue;
}

UringQueue::UringQueue(const IoQueueOptions& options)
    : options_(options), wake_(eventfd(0, EFD_CLOEXEC)), schedule_(options.depth) {}

UringQueue::~UringQueue() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  Wake();
  if (owner_.joinable()) owner_.join();
  if (wake_ >= 0) close(wake_);
}

void UringQueue::Read(uint64_t offset, std::span<std::byte> into, IoDone done) {
  Push(IoOperation::Read(offset, into, std::move(done)));
}
void UringQueue::Write(uint64_t offset, std::span<const std::byte> from, IoDone done) {
  Push(IoOperation::Write(offset, from, std::move(done)));
}
void UringQueue::Sync(IoDone done) { Push(IoOperation::Sync(std::move(done))); }

void UringQueue::Push(std::unique_ptr<IoOperation> operation) {
  bool wake = false;
  {
    MutexLock lock(mutex_);
    schedule_.Push(std::move(operation));
    wake = std::exchange(sleeping_, false);
  }
  if (wake) Wake();
}

void UringQueue::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the owner is awake.
  if (wake_ >= 0 && write(wake_, &one, sizeof(one)) < 0) return;
}

bool UringQueue::SubmitWaiting(Ring& ring, bool may_sleep) {
  bool end = false;
  {
    MutexLock lock(mutex_);
    while (std::unique_ptr<IoOperation> operation = schedule_.Pop()) {
      ring.Prepare(options_, *operation);
      operation.release();  // the completion's user data owns it now
    }
    sleeping_ = may_sleep && schedule_.in_flight() < schedule_.depth();
    end = closing_ && schedule_.idle();
  }
  ring.ArmWake(wake_);
  return end;
}

void UringQueue::Reap(Ring& ring, std::deque<Ended>& ended) {
  const size_t known = ended.size();
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring.uring, &cqe) == 0) {
    auto* raw = static_cast<IoOperation*>(io_uring_cqe_get_data(cqe));
    const int answer = cqe->res;
    io_uring_cqe_seen(&ring.uring, cqe);
    if (raw == nullptr) {
      ring.wake_armed = false;
      continue;
    }
    const int error = raw->Take(answer);
    if (error == IoOperation::kMore) {
      ring.Prepare(options_, *raw);
      continue;
    }
    ended.push_back({std::unique_ptr<IoOperation>(raw), error});
  }
  MutexLock lock(mutex_);
  sleeping_ = false;
  for (size_t i = known; i < ended.size(); ++i) schedule_.Finished(*ended[i].operation);
}

void UringQueue::Own(std::promise<bool> opened) {
  Ring ring;
  {
    uint32_t depth = 0;
    {
      MutexLock lock(mutex_);
      depth = schedule_.depth();
    }
    const bool open = ring.Open(options_, depth);
    opened.set_value(open);
    if (!open) return;
  }
  std::deque<Ended> ended;
  while (true) {
    if (SubmitWaiting(ring, /*may_sleep=*/ended.empty()) && ended.empty()) return;
    // Submits and waits for one completion; with something to tell already, only submits.
    const int submitted =
        ended.empty() ? io_uring_submit_and_wait(&ring.uring, 1) : io_uring_submit(&ring.uring);
    // EINTR, EAGAIN and EBUSY leave the entries in the ring: the next round submits them again.
    LARDER_CHECK(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN ||
                 submitted == -EBUSY);
    // One at a time: verifying a block takes as long as the device needs for the next, which waits in the schedule.
    if (!ended.empty()) {
      const Ended one = std::move(ended.front());
      ended.pop_front();
      one.operation->done(one.error);
    }
    Reap(ring, ended);
  }
}

}  // namespace larder::server
