#include "server/policy/lru_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <random>
#include <string>

namespace larder::server {
namespace {

TEST(LruOrderTest, TouchMovesABlockBehindAllOthers) {
  OrderLinks links(8);
  const auto order = MakeLruOrder(links);
  for (BlockRef block = 0; block < 4; ++block) order->Insert(block, block);
  order->Touch(0);
  order->Touch(2);
  for (const BlockRef expected : {1, 3, 0, 2}) {
    EXPECT_EQ(order->Coldest(), expected);
    order->Remove(expected, std::nullopt);
  }
}

TEST(LruOrderTest, AgreesWithANaiveModelUnderRandomUse) {
  constexpr size_t kBlocks = 100;
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  OrderLinks links(kBlocks);
  const auto order = MakeLruOrder(links);
  std::list<BlockRef> model;  // coldest first
  for (int step = 0; step < 100'000; ++step) {
    const BlockRef block = random() % kBlocks;
    const auto found = std::find(model.begin(), model.end(), block);
    const uint64_t choice = random() % 3;
    if (found == model.end() && choice != 0) {
      order->Insert(block, random());
      model.push_back(block);
    } else if (found == model.end()) {
      order->InsertColdest(block);
      model.push_front(block);
    } else if (choice != 0) {
      order->Touch(block);
      model.splice(model.end(), model, found);
    } else {
      order->Remove(block, random());
      model.erase(found);
    }
    ASSERT_EQ(order->Coldest(), model.empty() ? kNoBlock : model.front()) << "step " << step;
  }
}

}  // namespace
}  // namespace larder::server
