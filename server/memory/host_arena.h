// Ordinary host memory: one private anonymous mapping. Nothing is reserved or touched when it is
// made, so a server with a budget of many GiB starts at once and its resident size grows with what
// it holds.
//
// The size is a hard budget. huge_pages are a request that the kernel may ignore.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/memory/arena.h"

namespace larder::server {

// Thread-safe.
class HostArena final : public Arena {
 public:
  struct Options {
    uint64_t bytes = 0;       // rounded down to whole granules (kGranuleBytes)
    bool huge_pages = false;  // see Config::dram_huge_pages
  };
  // INVALID_ARGUMENT when the range is empty, longer than a SlabAllocator can manage, or refused by
  // the kernel (address space, RLIMIT_AS, strict overcommit).
  static absl::StatusOr<std::unique_ptr<HostArena>> Create(const Options& options);
  ~HostArena() override;
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  std::span<std::byte> memory() const override { return memory_; }

 private:
  explicit HostArena(std::span<std::byte> memory) : memory_(memory) {}
  const std::span<std::byte> memory_;
};

}  // namespace larder::server
