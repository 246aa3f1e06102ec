// Calls over a window's own connection, said by a client that keeps no rule: each is answered with a typed error or costs
// that client its connection, and what it leaves behind goes with it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "client/admin_client.h"
#include "client/client.h"
#include "larder/v1/window.pb.h"
#include "server/server.h"
#include "tests/integration/known_blocks.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder {
namespace {

using std::chrono::seconds;

constexpr size_t kWindowBytes = 1 << 20;
constexpr char kClientId[] = "no-rules";
constexpr seconds kIdleTimeout{2};

class WindowCallsTest : public ::testing::Test {
 protected:
  WindowCallsTest() : memory_(kWindowBytes) {
    server::Config config;
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{64} << 20;
    config.codec = "raw";
    config.stream_idle_timeout = kIdleTimeout;
    server_ = server::Server::Start(config).value();
    good_ = Client::Connect({.address = server_->listen()}).value();
    admin_ = AdminClient::Connect({.address = server_->listen()}).value();
    space_ = good_->Register(testing::KnownManifest("m", 2, 512), "default")->front();
    const auto chain = testing::KnownChain(space_, 1, 1);
    EXPECT_EQ(good_->Put(space_, chain)->front().outcome, PutOutcome::kStored);
    OpenWindow();
  }
  ~WindowCallsTest() override { ::close(socket_); }

  void OpenWindow() {
    socket_ = server::ConnectLocal(good_->Capabilities()->shm_socket());
    const timeval patience{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ShmHello hello;
    hello.window_bytes = kWindowBytes;
    hello.client_id_bytes = sizeof(kClientId) - 1;
    std::memcpy(hello.client_id.data(), kClientId, hello.client_id_bytes);
    iovec part{&hello, sizeof(hello)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = memory_.fd();
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    ASSERT_EQ(::sendmsg(socket_, &message, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof(hello)));
    ShmReply reply;
    ASSERT_EQ(::recv(socket_, &reply, sizeof(reply), 0), static_cast<ssize_t>(sizeof(reply)));
    ASSERT_EQ(reply.code, 0u) << reply.text.data();
    window_id_.assign(reply.window_id.begin(), reply.window_id.end());
  }

  v1::WindowCall Get(uint64_t number) const {
    v1::WindowCall call;
    call.set_number(number);
    call.set_timeout_us(5'000'000);
    v1::GetToWindowRequest& get = *call.mutable_get();
    get.mutable_get()->set_space_id(space_.id);
    get.mutable_get()->add_prefix_hashes(std::string(testing::KnownHash(1, 0).view()));
    get.set_window_id(window_id_);
    get.add_targets()->set_bytes(kWindowBytes);
    return call;
  }
  // Announces blocks and names none.
  v1::WindowCall Put(uint64_t number, uint32_t blocks) const {
    v1::WindowCall call;
    call.set_number(number);
    call.set_timeout_us(5'000'000);
    call.mutable_put()->mutable_open()->set_space_id(space_.id);
    call.mutable_put()->mutable_open()->set_blocks(blocks);
    call.mutable_put()->set_window_id(window_id_);
    return call;
  }

  bool Say(const v1::WindowCall& call) { return Say(call.SerializeAsString()); }
  bool Say(const std::string& message) {
    return ::send(socket_, message.data(), message.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(message.size());
  }
  // The next answer; number 0 when the connection has ended.
  v1::WindowReply Hear() {
    char message[4096];
    const ssize_t size = ::recv(socket_, message, sizeof(message), 0);
    EXPECT_TRUE(size >= 0 || errno == ECONNRESET) << "no answer: " << std::strerror(errno);
    v1::WindowReply reply;
    EXPECT_TRUE(size <= 0 || reply.ParseFromArray(message, static_cast<int>(size)));
    return reply;
  }
  // Whether no stream of a call is left, soon.
  bool StreamsEnd() {
    const auto give_up = std::chrono::steady_clock::now() + seconds(10);
    while (std::chrono::steady_clock::now() < give_up) {
      const auto stats = admin_->Stats();
      if (stats.ok() && stats->put_streams() == 0 && stats->get_streams() == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  void ExpectOthersAreServed() {
    const GetBlock block{testing::KnownHash(1, 0), {}};
    const auto results = good_->Get(space_, {&block, 1});
    ASSERT_TRUE(results.ok() && results->front().hit);
    EXPECT_TRUE(testing::IsKnown(block.hash, results->front().view));
  }
  // Whether the server has ended the connection and dropped the window.
  void ExpectCutOff() {
    EXPECT_EQ(Hear().number(), 0u);
    EXPECT_TRUE(StreamsEnd());
    ExpectOthersAreServed();
  }

  server::ShmMemory memory_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<Client> good_;
  std::unique_ptr<AdminClient> admin_;
  Space space_;
  int socket_ = -1;
  std::string window_id_;
};

TEST_F(WindowCallsTest, AnswersACallWithItsNumber) {
  ASSERT_TRUE(Say(Get(77)));
  const v1::WindowReply reply = Hear();
  EXPECT_EQ(reply.number(), 77u);
  EXPECT_EQ(reply.code(), 0u) << reply.message();
  ASSERT_EQ(reply.get().results_size(), 1);
  EXPECT_EQ(reply.get().results(0).outcome(), v1::GET_OUTCOME_HIT);
  EXPECT_EQ(std::memcmp(memory_.data(), "LDRF", 4), 0);
}

TEST_F(WindowCallsTest, NonsenseCostsTheConnection) {
  for (const std::string& message :
       {std::string("\xFF\xFF nonsense"), v1::WindowCall().SerializeAsString() + "\x08\x01",
        std::string(kWindowCallBytesMax + 1, '\0')}) {
    ASSERT_TRUE(Say(message));
    ExpectCutOff();
    ::close(socket_);
    OpenWindow();
  }
}

TEST_F(WindowCallsTest, ANumberThatIsInUseCostsTheConnection) {
  ASSERT_TRUE(Say(Put(5, 1)));
  ASSERT_TRUE(Say(Get(5)));
  ExpectCutOff();
}

TEST_F(WindowCallsTest, CallsThatAreNotCompletedAreBoundedAndGoWithTheConnection) {
  for (uint32_t i = 0; i <= kWindowCallsMax; ++i) ASSERT_TRUE(Say(Put(i + 1, 2)));
  const v1::WindowReply reply = Hear();
  EXPECT_EQ(reply.number(), kWindowCallsMax + 1);
  EXPECT_EQ(reply.code(), static_cast<uint32_t>(absl::StatusCode::kResourceExhausted));
  EXPECT_GE(admin_->Stats()->put_streams(), 1u);
  ::shutdown(socket_, SHUT_RDWR);
  EXPECT_TRUE(StreamsEnd());
  ExpectOthersAreServed();
}

TEST_F(WindowCallsTest, ACallThatIsNotCompletedEndsWhenItHasBeenIdle) {
  ASSERT_TRUE(Say(Put(5, 2)));
  const v1::WindowReply reply = Hear();
  EXPECT_EQ(reply.number(), 5u);
  ASSERT_EQ(reply.put().results_size(), 2) << reply.message();
  EXPECT_EQ(reply.put().results(0).outcome(), v1::PUT_OUTCOME_INCOMPLETE);
  EXPECT_TRUE(StreamsEnd());
}

TEST_F(WindowCallsTest, ACallThatIsNotCompletedEndsAtItsDeadline) {
  v1::WindowCall put = Put(5, 2);
  put.set_timeout_us(100'000);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Say(put));
  EXPECT_EQ(Hear().put().results_size(), 2);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kIdleTimeout);
}

TEST_F(WindowCallsTest, TooManyBlocksAreRefused) {
  v1::WindowCall get = Get(1);
  for (uint32_t i = 0; i < kWindowCallBlocksMax; ++i) get.mutable_get()->add_targets();
  ASSERT_TRUE(Say(get));
  EXPECT_EQ(Hear().code(), static_cast<uint32_t>(absl::StatusCode::kInvalidArgument));
  ASSERT_TRUE(Say(Put(2, kWindowCallBlocksMax + 1)));
  EXPECT_EQ(Hear().code(), static_cast<uint32_t>(absl::StatusCode::kInvalidArgument));
}

TEST_F(WindowCallsTest, WhatIsAddedIsCheckedLikeWhatBegins) {
  ASSERT_TRUE(Say(Put(9, 2)));
  v1::WindowCall more;
  more.set_number(9);
  v1::WindowPutBlock& block = *more.mutable_more()->add_blocks();
  block.set_frame_header("x");
  block.mutable_payload()->set_offset(kWindowBytes - 64);
  block.mutable_payload()->set_bytes(128);
  ASSERT_TRUE(Say(more));
  EXPECT_EQ(Hear().code(), static_cast<uint32_t>(absl::StatusCode::kInvalidArgument));
  ASSERT_TRUE(Say(more));  // of no call any more
  ASSERT_TRUE(Say(Get(10)));
  EXPECT_EQ(Hear().number(), 10u);
}

TEST_F(WindowCallsTest, WhoReadsNoAnswersIsCutOff) {
  uint64_t number = 0;
  const auto give_up = std::chrono::steady_clock::now() + seconds(30);
  while (Say(Put(++number, kWindowCallBlocksMax + 1))) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << number << " calls";
  }
  EXPECT_TRUE(StreamsEnd());
  ExpectOthersAreServed();
}

}  // namespace
}  // namespace larder
