#include "server/transport/shm_listener.h"

#include <sys/resource.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/server/transport/shm_memory.h"

namespace larder::server {
namespace {

constexpr size_t kBytes = 1 << 20;

ShmHello HelloOf(uint64_t bytes, std::string_view client = "client") {
  ShmHello hello;
  hello.window_bytes = bytes;
  hello.client_id_bytes = static_cast<uint32_t>(client.size());
  std::copy(client.begin(), client.end(), hello.client_id.begin());
  return hello;
}

// Sends `bytes` of the hello with these descriptors; false when the peer is gone.
bool Send(int socket, const ShmHello& hello, const std::vector<int>& descriptors,
          size_t bytes = sizeof(ShmHello)) {
  iovec part{const_cast<ShmHello*>(&hello), bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(int) * descriptors.size());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

class ShmListenerTest : public testing::Test {
 protected:
  ShmListenerTest() {
    auto listener =
        ShmListener::Start("larder-test-" + std::to_string(::getpid()), 3, table_, clock_);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }

  int Connect() {
    const int fd = ConnectLocal(listener_->name());
    EXPECT_GE(fd, 0);
    return fd;
  }
  // The reply; nullopt when the server closed the connection without one.
  std::optional<ShmReply> Reply(int socket) {
    ShmReply reply;
    const ssize_t size = ::recv(socket, &reply, sizeof(reply), 0);
    if (size != sizeof(reply)) return std::nullopt;
    return reply;
  }
  void ExpectWindows(uint64_t windows) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (table_.stats().windows != windows && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(table_.stats().windows, windows);
  }

  RealClock clock_;
  WindowTable table_{{.windows_max = 3,
                      .windows_per_client_max = 2,
                      .window_bytes_max = 4 * kBytes,
                      .windows_bytes_max = 8 * kBytes}};
  std::unique_ptr<ShmListener> listener_;
};

TEST_F(ShmListenerTest, OpensAWindowThatItsConnectionKeepsAlive) {
  ShmMemory memory(kBytes);
  const int socket = Connect();
  ASSERT_TRUE(Send(socket, HelloOf(kBytes), {memory.fd()}));
  const auto reply = Reply(socket);
  ASSERT_TRUE(reply && reply->code == 0);
  const std::string id(reply->window_id.begin(), reply->window_id.end());
  {
    auto window = table_.Find(id, "client");
    ASSERT_TRUE(window.ok());
    std::vector<std::byte> data(100, std::byte{7});
    (*window)->Write({.offset = 64, .deadline = TimePoint::max()}, {data}, [](TransferEnd) {});
    EXPECT_EQ(std::memcmp(memory.data() + 64, data.data(), data.size()), 0);
  }
  ::close(socket);
  ExpectWindows(0);
  EXPECT_EQ(table_.stats().bytes, 0u);
}

TEST_F(ShmListenerTest, SaysWhyAWindowIsRefused) {
  ShmMemory memory(kBytes);
  const int socket = Connect();
  ASSERT_TRUE(Send(socket, HelloOf(kBytes + 4096), {memory.fd()}));
  const auto reply = Reply(socket);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->code, static_cast<uint32_t>(absl::StatusCode::kInvalidArgument));
  EXPECT_NE(std::strstr(reply->text.data(), "window_bytes"), nullptr);
  EXPECT_FALSE(Reply(socket));  // closed
  ::close(socket);
  EXPECT_EQ(table_.stats().bytes, 0u);
}

TEST_F(ShmListenerTest, ClosesAConnectionThatDoesNotSpeakTheProtocol) {
  ShmMemory memory(kBytes);
  ShmHello wrong_magic = HelloOf(kBytes);
  wrong_magic.magic ^= 1;
  ShmHello wrong_version = HelloOf(kBytes);
  ++wrong_version.version;
  ShmHello long_id = HelloOf(kBytes);
  long_id.client_id_bytes = 65;
  struct Case {
    const ShmHello hello;
    const std::vector<int> descriptors;
    size_t bytes = sizeof(ShmHello);
  };
  const int fd = memory.fd();
  const Case cases[] = {{wrong_magic, {fd}},
                        {wrong_version, {fd}},
                        {long_id, {fd}},
                        {HelloOf(kBytes), {}},
                        {HelloOf(kBytes), {fd, fd}},
                        {HelloOf(kBytes), {fd, fd, fd, fd, fd, fd, fd, fd}},
                        {HelloOf(kBytes), {fd}, 20}};
  for (const Case& c : cases) {
    const int socket = Connect();
    ASSERT_TRUE(Send(socket, c.hello, c.descriptors, c.bytes));
    EXPECT_FALSE(Reply(socket));
    ::close(socket);
  }
  ExpectWindows(0);
}

TEST_F(ShmListenerTest, MoreWordsEndTheWindow) {
  ShmMemory memory(kBytes);
  const int socket = Connect();
  ASSERT_TRUE(Send(socket, HelloOf(kBytes), {memory.fd()}));
  ASSERT_TRUE(Reply(socket));
  ASSERT_TRUE(Send(socket, HelloOf(kBytes), {memory.fd()}));
  ExpectWindows(0);
  ::close(socket);
}

TEST_F(ShmListenerTest, KeepsBoundsAndServesOthersMeanwhile) {
  ShmMemory memory(kBytes);
  std::vector<int> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(Connect());
    ASSERT_TRUE(Send(sockets.back(), HelloOf(kBytes, "c" + std::to_string(i)), {memory.fd()}));
    ASSERT_EQ(Reply(sockets.back())->code, 0u);
  }
  const int refused = Connect();
  const auto reply = Reply(refused);  // before its hello: no connection is left for a window
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->code, static_cast<uint32_t>(absl::StatusCode::kResourceExhausted));
  ::close(refused);
  ::close(sockets[1]);
  ExpectWindows(2);
  sockets[1] = Connect();
  ASSERT_TRUE(Send(sockets[1], HelloOf(kBytes, "again"), {memory.fd()}));
  EXPECT_EQ(Reply(sockets[1])->code, 0u);
  for (const int socket : sockets) ::close(socket);
  ExpectWindows(0);
}

TEST_F(ShmListenerTest, WaitsIdleWhenTheProcessIsOutOfDescriptors) {
  ShmMemory memory(kBytes);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  const int next = ::dup(socket);
  ::close(next);
  const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  const std::string name(listener_->name());
  // No member of the test in between: UBSan looks at one through a pipe, and takes it for another type without.
  const int lowered = ::setrlimit(RLIMIT_NOFILE, &none);
  const bool connected = ConnectTo(socket, name);
  const std::clock_t cpu = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const std::clock_t used = std::clock() - cpu;
  const int restored = ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_EQ(lowered, 0);
  ASSERT_EQ(restored, 0);
  EXPECT_TRUE(connected);
  EXPECT_LT(used, CLOCKS_PER_SEC / 5);
  ASSERT_TRUE(Send(socket, HelloOf(kBytes), {memory.fd()}));
  const auto reply = Reply(socket);  // it was kept meanwhile
  EXPECT_TRUE(reply && reply->code == 0);
  ::close(socket);
}

TEST_F(ShmListenerTest, ASilentConnectionIsClosed) {
  const int socket = Connect();
  EXPECT_FALSE(Reply(socket));  // after kHelloTimeout
  ::close(socket);
}

TEST_F(ShmListenerTest, ItsEndDropsEveryWindow) {
  ShmMemory memory(kBytes);
  const int socket = Connect();
  ASSERT_TRUE(Send(socket, HelloOf(kBytes), {memory.fd()}));
  ASSERT_TRUE(Reply(socket));
  listener_.reset();
  EXPECT_EQ(table_.stats().windows, 0u);
  EXPECT_FALSE(Reply(socket));
  ::close(socket);
}

}  // namespace
}  // namespace larder::server
