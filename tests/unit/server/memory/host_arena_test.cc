#include "server/memory/host_arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "server/memory/slab_allocator.h"

namespace larder::server {
namespace {

constexpr size_t kPageBytes = 4096;  // the kernel's

size_t ResidentPages(std::span<std::byte> memory) {
  std::vector<unsigned char> resident(memory.size() / kPageBytes);
  EXPECT_EQ(::mincore(memory.data(), memory.size(), resident.data()), 0);
  size_t pages = 0;
  for (const unsigned char page : resident) pages += page & 1;
  return pages;
}

TEST(HostArenaTest, HasTheSizeAskedForRoundedDownToGranules) {
  const auto arena = HostArena::Create({.bytes = 10 * kGranuleBytes + 511});
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_EQ((*arena)->memory().size(), 10 * kGranuleBytes);
}

TEST(HostArenaTest, TakesMemoryOnlyWhenItIsTouched) {
  const auto arena = HostArena::Create({.bytes = uint64_t{64} << 20});
  ASSERT_TRUE(arena.ok()) << arena.status();
  const std::span<std::byte> memory = (*arena)->memory();
  EXPECT_EQ(ResidentPages(memory), 0u);
  memory.front() = std::byte{1};
  memory.back() = std::byte{2};
  EXPECT_EQ(ResidentPages(memory), 2u);
}

TEST(HostArenaTest, ReservesMoreThanTheHostHas) {
  const auto arena = HostArena::Create({.bytes = uint64_t{256} << 30});
  EXPECT_TRUE(arena.ok()) << arena.status();
}

TEST(HostArenaTest, WorksWithHugePagesWhetherOrNotTheKernelHasThem) {
  const auto arena = HostArena::Create({.bytes = uint64_t{8} << 20, .huge_pages = true});
  ASSERT_TRUE(arena.ok()) << arena.status();
  (*arena)->memory()[5 << 20] = std::byte{7};
  EXPECT_EQ((*arena)->memory()[5 << 20], std::byte{7});
}

TEST(HostArenaTest, RefusesSizesThatCanNotBeManaged) {
  for (const uint64_t bytes : {uint64_t{0}, kGranuleBytes - 1, uint64_t{1} << 50, UINT64_MAX}) {
    const auto arena = HostArena::Create({.bytes = bytes});
    EXPECT_EQ(arena.status().code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
}

}  // namespace
}  // namespace larder::server
