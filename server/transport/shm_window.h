// A window of shared memory: a mapping of the client's sealed memfd. Transfers are copies on the calling
// thread: they have ended when Write or Read returns.
//
// The seals fix the size, so no access can fall off its end; pages that the client punches out come back as
// zeros, and one that the kernel can not give ends the transfer with kFailed (guarded_copy.h). Nothing that
// is read from the mapping is acted upon, save `waiters`, which costs a needless wake-up at most.
//
// Thread-safe. The mapping is let go with the object. `clock` must outlive it.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "proto/contract/shm_window.h"
#include "server/base/clock.h"
#include "server/transport/window.h"

namespace larder::server {

class ShmWindow final : public Window {
 public:
  // Copies look at the deadline and tell how far they are after this many bytes: about 10 us.
  static constexpr size_t kStepBytes = 128 * 1024;

  // Maps `fd` (which stays the caller's). INVALID_ARGUMENT unless it is an anonymous tmpfs file of exactly
  // `bytes` bytes that carries kShmSeals and is writable; RESOURCE_EXHAUSTED when it can not be mapped.
  static absl::StatusOr<std::unique_ptr<ShmWindow>> Map(int fd, uint64_t bytes, const Clock& clock);
  ~ShmWindow() override;

  PlaneKind plane() const override { return PlaneKind::kShm; }
  uint64_t bytes() const override { return bytes_; }
  int transfers_max() const override { return 1; }
  uint64_t step_bytes() const override { return kStepBytes; }
  void Write(const Transfer& transfer, const ByteSpans& source, TransferDone done) override;
  void Read(const Transfer& transfer, const ByteSpans& target, TransferDone done) override;
  void Skip(const Transfer& transfer) override;
  void Close() override { closed_.store(true, std::memory_order_relaxed); }

 private:
  ShmWindow(std::byte* memory, uint64_t bytes, const Clock& clock)
      : memory_(memory), bytes_(bytes), clock_(clock) {}

  template <typename Copy>
  TransferEnd Move(const Transfer& transfer, const ByteSpans& spans, Copy copy);
  ProgressSlot* SlotOf(const Transfer& transfer) const;
  // Why no more may be copied; kDone while more may.
  TransferEnd MayGoOn(const Transfer& transfer) const;

  std::byte* const memory_;
  const uint64_t bytes_;
  const Clock& clock_;
  std::atomic<bool> closed_{false};
};

}  // namespace larder::server
