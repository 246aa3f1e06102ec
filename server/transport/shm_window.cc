#include "server/transport/shm_window.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/copy/block_copy.h"
#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/transport/guarded_copy.h"

namespace larder::server {
namespace {

static_assert(kShmSeals == (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));

// F_SEAL_FUTURE_WRITE (Linux 5.1), which older headers lack.
constexpr int kSealFutureWrite = 0x0010;

void WakeAll(std::atomic<uint32_t>* word) {
  ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Inside Guarded only: the slot lies in the client's memory.
void Tell(ProgressSlot* slot, uint32_t state) {
  slot->state.store(state, std::memory_order_seq_cst);
  if (slot->waiters.load(std::memory_order_seq_cst) != 0) WakeAll(&slot->state);
}

absl::Status CheckFile(int fd, uint64_t bytes) {
  struct stat file {};
  struct statfs system {};
  if (::fstat(fd, &file) != 0 || ::fstatfs(fd, &system) != 0 || !S_ISREG(file.st_mode) ||
      system.f_type != TMPFS_MAGIC) {
    return InvalidField("window descriptor", "no memory file", "a memfd without huge pages");
  }
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) {
    return InvalidField("window descriptor", "one for reading only", "a memfd open for both");
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kShmSeals) != kShmSeals ||
      (seals & (F_SEAL_WRITE | kSealFutureWrite)) != 0) {
    return InvalidField("window seals", absl::StrCat(seals),
                        absl::StrCat(kShmSeals, " (shrink, grow, seal) and no write seal"));
  }
  // After the seals: now it can not change any more.
  if (::fstat(fd, &file) != 0 || static_cast<uint64_t>(file.st_size) != bytes) {
    return InvalidField("window_bytes", absl::StrCat(bytes), "the size of the memfd");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShmWindow>> ShmWindow::Map(int fd, uint64_t bytes,
                                                          const Clock& clock) {
  if (absl::Status status = CheckFile(fd, bytes); !status.ok()) return status;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return OverLimit("memory mappings of the server", bytes, bytes);
  // A core dump of the server must not hold its clients' KV.
  ::madvise(memory, bytes, MADV_DONTDUMP);
  return std::unique_ptr<ShmWindow>(new ShmWindow(static_cast<std::byte*>(memory), bytes, clock));
}

ShmWindow::~ShmWindow() { ::munmap(memory_, bytes_); }

ProgressSlot* ShmWindow::SlotOf(const Transfer& transfer) const {
  if (!transfer.progress_offset) return nullptr;
  const uint64_t offset = *transfer.progress_offset;
  LARDER_CHECK(offset % sizeof(ProgressSlot) == 0 &&
               InWindow(offset, sizeof(ProgressSlot), bytes_));
  return reinterpret_cast<ProgressSlot*>(memory_ + offset);
}

TransferEnd ShmWindow::MayGoOn(const Transfer& transfer) const {
  if (closed_.load(std::memory_order_relaxed)) return TransferEnd::kPeerGone;
  return clock_.Now() < transfer.deadline ? TransferEnd::kDone : TransferEnd::kOverDeadline;
}

// copy(window, span) moves one step; after(copied) runs behind it. Both inside Guarded.
template <typename Copy>
TransferEnd ShmWindow::Move(const Transfer& transfer, const ByteSpans& spans, Copy copy) {
  uint64_t copied = 0;
  for (const auto span : spans) {
    LARDER_CHECK(InWindow(transfer.offset + copied, span.size(), bytes_));
    for (size_t at = 0; at < span.size();) {
      if (const TransferEnd end = MayGoOn(transfer); end != TransferEnd::kDone) return end;
      const auto step = span.subspan(at, std::min(kStepBytes, span.size() - at));
      std::byte* const window = memory_ + transfer.offset + copied;
      copied += step.size();
      if (!Guarded([&] { copy(window, step, copied); })) return TransferEnd::kFailed;
      at += step.size();
    }
  }
  return TransferEnd::kDone;
}

void ShmWindow::Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) {
  ProgressSlot* const slot = SlotOf(transfer);
  uint64_t bytes = 0;
  for (const auto span : source) bytes += span.size();
  uint32_t state = ProgressSlot::kBegun;
  const bool slot_lives = slot == nullptr || Guarded([&] {
                            slot->frame_bytes.store(bytes, std::memory_order_relaxed);
                          });
  const TransferEnd end =
      !slot_lives ? TransferEnd::kFailed
                  : Move(transfer, source,
                         [&](std::byte* window, std::span<std::byte> step, uint64_t copied) {
                           if (transfer.to_caches) {
                             // 24 beside 19 GB/s of loops of ours. Where it takes a step for too
                             // long to stay in a cache, both ways are the same.
                             std::memcpy(window, step.data(), step.size());
                           } else {
                             StreamBlock(window, step.data(), step.size());
                           }
                           if (slot == nullptr || copied == bytes) return;  // the end is told below
                           state = ProgressSlot::kBegun |
                                   static_cast<uint32_t>(copied / ProgressSlot::kUnitBytes);
                           Tell(slot, state);
                         });
  if (end == TransferEnd::kDone) {
    state = ProgressSlot::kBegun | static_cast<uint32_t>(bytes / ProgressSlot::kUnitBytes);
  }
  if (slot != nullptr) {
    Guarded([&] { Tell(slot, state | ProgressSlot::kEnded); });
  }
  done(end);
}

void ShmWindow::Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) {
  const TransferEnd end =
      Move(transfer, target, [](std::byte* window, std::span<std::byte> step, uint64_t) {
        CopyBlock(step.data(), window, step.size());
      });
  if (end == TransferEnd::kDone && transfer.landed) {
    for (const auto span : target) transfer.landed(span);
  }
  done(end);
}

void ShmWindow::Skip(const Transfer& transfer) {
  ProgressSlot* const slot = SlotOf(transfer);
  if (slot == nullptr) return;
  Guarded([&] { Tell(slot, ProgressSlot::kEnded); });
}

}  // namespace larder::server
