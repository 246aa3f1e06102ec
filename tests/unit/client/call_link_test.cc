#include "client/call_link.h"

#include <chrono>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/contract/limits.h"

namespace larder {
namespace {

using std::chrono::seconds;

class CallLinkTest : public testing::Test {
 protected:
  CallLinkTest()
      : link_([this](std::string message) {
          if (!takes_) return false;
          sent_.emplace_back();
          return sent_.back().ParseFromString(message);
        }) {}

  static SystemTime In(seconds time) { return std::chrono::system_clock::now() + time; }
  // Starts a get; its answer goes to replies_.
  std::optional<uint64_t> Start() {
    v1::WindowCall call;
    call.mutable_get()->set_tag(7);
    return link_.Start(call, In(seconds(5)),
                       [this](auto reply) { replies_.push_back(std::move(reply)); });
  }
  bool Answer(uint64_t number, uint32_t code = 0) {
    v1::WindowReply reply;
    reply.set_number(number);
    reply.set_code(code);
    reply.mutable_get()->set_lease_id("lease");
    return link_.OnMessage(reply.SerializeAsString());
  }

  bool takes_ = true;
  std::vector<v1::WindowCall> sent_;
  std::vector<absl::StatusOr<v1::WindowReply>> replies_;
  CallLink link_;
};

TEST_F(CallLinkTest, BringsEachAnswerToItsCallOnce) {
  const auto first = Start(), second = Start();
  ASSERT_TRUE(first && second && *first != *second);
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[1].number(), *second);
  EXPECT_EQ(sent_[1].get().tag(), 7u);
  EXPECT_GT(sent_[1].timeout_us(), 4'000'000u);
  EXPECT_LE(sent_[1].timeout_us(), 5'000'000u);
  EXPECT_TRUE(Answer(*second));
  ASSERT_EQ(replies_.size(), 1u);
  EXPECT_EQ(replies_[0]->number(), *second);
  EXPECT_FALSE(Answer(*second));  // no call waits for it any more
  EXPECT_TRUE(Answer(*first, static_cast<uint32_t>(absl::StatusCode::kFailedPrecondition)));
  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(replies_[1].status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CallLinkTest, SaysWhatGrpcMustCarry) {
  v1::WindowCall large;
  large.mutable_put()->add_blocks()->set_frame_header(std::string(kWindowCallBytesMax, 'x'));
  const auto never = [](auto) { FAIL() << "a call that was not sent has no answer"; };
  EXPECT_FALSE(link_.Start(large, In(seconds(5)), never));
  takes_ = false;
  v1::WindowCall call;
  call.mutable_get();
  EXPECT_FALSE(link_.Start(call, In(seconds(5)), never));
  takes_ = true;
  for (uint32_t i = 0; i < kWindowCallsMax; ++i) ASSERT_TRUE(Start());
  EXPECT_FALSE(link_.Start(call, In(seconds(5)), never));
  ASSERT_TRUE(Answer(sent_.front().number()));
  EXPECT_TRUE(Start());
}

TEST_F(CallLinkTest, ItsEndEndsEveryCall) {
  ASSERT_TRUE(Start() && Start());
  link_.End();
  ASSERT_EQ(replies_.size(), 2u);
  for (const auto& reply : replies_) {
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_FALSE(Start());
  EXPECT_FALSE(Answer(sent_[0].number()));
  EXPECT_EQ(replies_.size(), 2u);
}

TEST_F(CallLinkTest, TakesNothingThatIsNoAnswer) {
  ASSERT_TRUE(Start());
  EXPECT_FALSE(link_.OnMessage("\xFF\xFF nonsense"));
  EXPECT_FALSE(Answer(12'345));
  EXPECT_TRUE(replies_.empty());
}

}  // namespace
}  // namespace larder
