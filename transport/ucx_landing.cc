#include "transport/ucx_landing.h"

#include <sys/mman.h>

#include "transport/ucx_messages.h"

namespace larder::transport {

UcxLanding::~UcxLanding() {
  for (std::byte* const buffer : all_) ::munmap(buffer, kUcxPieceBytes);
}

std::byte* UcxLanding::Take() {
  if (free_.empty()) {
    void* const memory = ::mmap(nullptr, kUcxPieceBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    all_.push_back(static_cast<std::byte*>(memory));
    return all_.back();
  }
  std::byte* const buffer = free_.back();
  free_.pop_back();
  return buffer;
}

void UcxLanding::Abandon(std::byte* buffer) { ::madvise(buffer, kUcxPieceBytes, MADV_DONTNEED); }

}  // namespace larder::transport
