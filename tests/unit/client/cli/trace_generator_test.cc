#include "client/cli/trace_generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace larder::cli {
namespace {

constexpr uint64_t kNoParent = ~uint64_t{0};

TEST(TraceGeneratorTest, EqualOptionsGiveEqualTraces) {
  EXPECT_EQ(GenerateTrace({.requests = 300}), GenerateTrace({.requests = 300}));
  EXPECT_NE(GenerateTrace({.seed = 1, .requests = 300}),
            GenerateTrace({.seed = 2, .requests = 300}));
}

TEST(TraceGeneratorTest, WritesATraceThatTheReaderAccepts) {
  const auto requests = GenerateTrace({.requests = 500});
  ASSERT_EQ(requests.size(), 500u);
  std::stringstream file;
  WriteTrace(requests, file);
  const auto read = ReadTrace(file, "generated");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, requests);
}

TEST(TraceGeneratorTest, AnIdImpliesItsPredecessors) {
  for (const uint64_t seed : {1, 2, 3}) {
    std::map<uint64_t, uint64_t> parent_of;
    uint64_t next_new = 0;
    for (const TraceRequest& request : GenerateTrace({.seed = seed})) {
      ASSERT_EQ(request.hash_ids.size(), (request.input_tokens + 511) / 512);
      uint64_t parent = kNoParent;
      for (const uint64_t id : request.hash_ids) {
        const auto [found, added] = parent_of.try_emplace(id, parent);
        ASSERT_EQ(found->second, parent) << "seed " << seed << " id " << id;
        if (added) {
          ASSERT_EQ(id, next_new++) << "ids are numbered by first appearance";
        }
        parent = id;
      }
    }
  }
}

TEST(TraceGeneratorTest, ConversationsContinueAndSystemPromptsAreShared) {
  const auto requests = GenerateTrace({});
  const auto turns = TurnsOf(requests);
  const auto later = std::count_if(turns.begin(), turns.end(), [](uint32_t t) { return t > 1; });
  // Means of 4 turns: three of four requests are later turns, fewer since the trace is cut off.
  EXPECT_GT(later, 0.4 * static_cast<double>(turns.size()));
  const TraceFacts facts = FactsOf(requests);
  const double ideal =
      static_cast<double>(facts.ideal_hit_blocks) / static_cast<double>(facts.blocks);
  EXPECT_GT(ideal, 0.4);
  EXPECT_LT(ideal, 0.9);
}

TEST(TraceGeneratorTest, OneTurnOfOnePromptStillSharesThePrompt) {
  const auto requests = GenerateTrace({.requests = 50, .system_prompts = 1, .turns_mean = 1});
  for (const TraceRequest& request : requests) {
    EXPECT_EQ(request.hash_ids.front(), requests.front().hash_ids.front());
  }
}

}  // namespace
}  // namespace larder::cli
