#include "client/cli/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

namespace larder::cli {
namespace {

TEST(BufferPoolTest, ReusesABufferOnlyWhenItsLastOwnerIsGone) {
  BufferPool pool(100);
  std::shared_ptr<std::byte> first = pool.Take();
  std::shared_ptr<const std::byte> second_owner = first;
  std::byte* const address = first.get();
  first.reset();
  EXPECT_NE(pool.Take().get(), address);
  second_owner.reset();
  EXPECT_EQ(pool.Take().get(), address);
}

TEST(BufferPoolTest, BuffersMayOutliveThePool) {
  std::optional<BufferPool> pool(100);
  const std::shared_ptr<std::byte> buffer = pool->Take();
  pool.reset();
  buffer.get()[99] = std::byte{1};
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.get()) % 64, 0u);
}

}  // namespace
}  // namespace larder::cli
