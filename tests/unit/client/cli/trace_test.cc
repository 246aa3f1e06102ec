#include "client/cli/trace.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace larder::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<std::vector<TraceRequest>> Read(const std::string& text, size_t max = SIZE_MAX) {
  std::istringstream in(text);
  return ReadTrace(in, "t.jsonl", max);
}

std::string Line(uint64_t timestamp, uint64_t input, const std::string& ids) {
  return R"({"timestamp": )" + std::to_string(timestamp) + R"(, "input_length": )" +
         std::to_string(input) + R"(, "output_length": 5, "hash_ids": )" + ids + "}\n";
}

void ExpectFault(const std::string& text, const std::string& message) {
  const auto read = Read(text);
  EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_THAT(std::string(read.status().message()), HasSubstr(message)) << text;
}

TEST(TraceTest, ReadsRequestsInOrder) {
  const auto read = Read(Line(0, 600, "[0, 1]") + "\n" + Line(7, 512, "[18446744073709551615]"));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_THAT((*read)[0].hash_ids, ElementsAre(0, 1));
  EXPECT_EQ((*read)[0].input_tokens, 600u);
  EXPECT_EQ((*read)[0].output_tokens, 5u);
  EXPECT_EQ((*read)[1].timestamp_ms, 7u);
  EXPECT_THAT((*read)[1].hash_ids, ElementsAre(~uint64_t{0}));
}

TEST(TraceTest, ReadsALastLineWithoutNewlineAndStopsAtTheMaximum) {
  std::string text = Line(0, 1, "[0]") + Line(1, 1, "[1]");
  text.pop_back();
  EXPECT_EQ(Read(text)->size(), 2u);
  EXPECT_EQ(Read(text, 1)->size(), 1u);
  EXPECT_TRUE(Read("")->empty());
}

TEST(TraceTest, NamesLineAndFieldOfAFault) {
  ExpectFault(Line(0, 1, "[0]") + "nonsense\n", "t.jsonl:2 line");
  ExpectFault("[1, 2]\n", "t.jsonl:1 line");
  ExpectFault(R"({"input_length": 1, "output_length": 1, "hash_ids": [1]})", "t.jsonl:1 timestamp");
  ExpectFault(Line(0, 1, "7"), "t.jsonl:1 hash_ids");
  ExpectFault(Line(0, 1, "[-1]"), "t.jsonl:1 hash_ids");
  ExpectFault(Line(0, 1, R"(["a"])"), "t.jsonl:1 hash_ids");
  ExpectFault(Line(0, 512, "[0, 1]"), "at most one per 512 tokens");
  ExpectFault(Line(0, 1'000'000'000'000, "[0]"), "t.jsonl:1 input_length");
  ExpectFault(Line(5, 1, "[0]") + Line(4, 1, "[1]"), "t.jsonl:2 timestamp");
  ExpectFault(Line(0, 1, "[0]") + std::string(kTraceLineBytesMax, ' '), "t.jsonl:2 line");
  ExpectFault(Line(0, 1, "[0]").insert(3, 1, '\0'), "t.jsonl:1 line");
}

TEST(TraceTest, ReportsAMissingFile) {
  EXPECT_EQ(ReadTraceFile("/nonexistent/trace").status().code(), absl::StatusCode::kNotFound);
}

TEST(TraceTest, WritesWhatItReads) {
  const std::vector<TraceRequest> requests = {{0, 600, 5, {0, 1}}, {9, 0, 1, {}}};
  std::ostringstream out;
  WriteTrace(requests, out);
  const auto read = Read(out.str());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, requests);
}

TEST(TraceTest, LastBlockHasTheRemainingTokens) {
  const TraceRequest request{0, 1100, 0, {0, 1, 2}};
  EXPECT_EQ(TokensOfBlock(request, 0), 512u);
  EXPECT_EQ(TokensOfBlock(request, 1), 512u);
  EXPECT_EQ(TokensOfBlock(request, 2), 76u);
  EXPECT_EQ(TokensOfBlock(request, 3), 0u);
}

TEST(TraceTest, IdealHitsAreLeadingBlocksOfEarlierRequests) {
  const std::vector<TraceRequest> requests = {
      {0, 1100, 0, {0, 1, 2}}, {1, 1600, 0, {0, 1, 3, 4}}, {2, 1100, 0, {0, 1, 2}}};
  const TraceFacts facts = FactsOf(requests);
  EXPECT_EQ(facts.requests, 3u);
  EXPECT_EQ(facts.blocks, 10u);
  EXPECT_EQ(facts.unique_blocks, 5u);
  EXPECT_EQ(facts.ideal_hit_blocks, 5u);  // none, two, all three
  EXPECT_EQ(facts.query_tokens, 3800u);
  EXPECT_EQ(facts.ideal_hit_tokens, 1024u + 1100u);
}

TEST(TraceTest, EqualIdsUnderOtherParentsAreOtherBlocks) {
  const std::vector<TraceRequest> requests = {{0, 1024, 0, {0, 7}}, {1, 1024, 0, {1, 7}}};
  EXPECT_EQ(FactsOf(requests).unique_blocks, 4u);
  EXPECT_EQ(FactsOf(requests).ideal_hit_blocks, 0u);
}

TEST(TraceTest, InfersTurnsFromEarlierRequestsOnly) {
  const std::vector<TraceRequest> requests = {
      {0, 1100, 0, {0, 1, 2}},        // first turn; blocks 0 and 1 are full
      {1, 1700, 0, {0, 1, 3, 4}},     // continues it
      {2, 1100, 0, {0, 5, 6}},        // shares only the system prompt
      {3, 2100, 0, {0, 1, 3, 7, 8}},  // continues the second
      {4, 600, 0, {9, 10}},           // a single full block is no conversation
      {5, 1100, 0, {9, 11, 12}},
  };
  EXPECT_THAT(TurnsOf(requests), ElementsAre(1, 2, 1, 3, 1, 1));
}

TEST(TraceTest, MatchesTheFactsOfTheConversationTrace) {
  if (!std::ifstream(LARDER_CONVERSATION_TRACE)) {
    GTEST_SKIP() << "no trace at " << LARDER_CONVERSATION_TRACE;
  }
  const auto read = ReadTraceFile(LARDER_CONVERSATION_TRACE);
  ASSERT_TRUE(read.ok()) << read.status();
  const TraceFacts facts = FactsOf(*read);
  EXPECT_EQ(facts.requests, 12'031u);
  EXPECT_EQ(facts.blocks, 288'500u);
  EXPECT_EQ(facts.unique_blocks, 182'790u);
  EXPECT_EQ(facts.ideal_hit_blocks, 105'710u);  // 36.64 %
  EXPECT_EQ(facts.query_tokens / facts.requests, 12'035u);
}

}  // namespace
}  // namespace larder::cli
