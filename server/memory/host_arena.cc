#include "server/memory/host_arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "proto/contract/errors.h"
#include "server/memory/slab_allocator.h"

namespace larder::server {

absl::StatusOr<std::unique_ptr<HostArena>> HostArena::Create(const Options& options) {
  const uint64_t granules = options.bytes / kGranuleBytes;
  if (granules == 0 || granules > SlabAllocator::kGranulesMax) {
    return InvalidField("arena bytes", std::to_string(options.bytes),
                        std::to_string(kGranuleBytes) + " to " +
                            std::to_string(SlabAllocator::kGranulesMax * kGranuleBytes));
  }
  const uint64_t bytes = granules * kGranuleBytes;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return InvalidField("arena bytes", std::to_string(bytes) + ", refused: " + std::strerror(errno),
                        "a size that the host lets this process map");
  }
  // Fails only where the kernel has no huge pages; the arena works without.
  if (options.huge_pages) ::madvise(memory, bytes, MADV_HUGEPAGE);
  return std::unique_ptr<HostArena>(new HostArena({static_cast<std::byte*>(memory), bytes}));
}

HostArena::~HostArena() { ::munmap(memory_.data(), memory_.size()); }

}  // namespace larder::server
