#include "transport/ucx_landing.h"

#include <sys/mman.h>

#include "transport/ucx_messages.h"

namespace larder::transport {

UcxLanding::~UcxLanding() {
  for (std::byte* const buffer : all_) ::munmap(buffer, kUcxPieceBytes);
}

std::byte* UcxLanding::Take() {
  auto& free = warm_.empty() ? cold_ : warm_;
  if (free.empty()) {
    void* const memory = ::mmap(nullptr, kUcxPieceBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    all_.push_back(static_cast<std::byte*>(memory));
    return all_.back();
  }
  std::byte* const buffer = free.back();
  free.pop_back();
  return buffer;
}

void UcxLanding::GiveBack(std::byte* buffer) {
  if (warm_.size() < kWarmMax) {
    warm_.push_back(buffer);
    return;
  }
  ::madvise(buffer, kUcxPieceBytes, MADV_DONTNEED);
  cold_.push_back(buffer);
}

void UcxLanding::Abandon(std::byte* buffer) { ::madvise(buffer, kUcxPieceBytes, MADV_DONTNEED); }

}  // namespace larder::transport
