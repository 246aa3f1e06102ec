#include "client/shm_client_window.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace larder {
namespace {

using namespace std::chrono_literals;

// A local socket that takes no connections, with a full queue.
class SilentServer {
 public:
  SilentServer() : socket_(Socket()), name_("larder-silent-" + std::to_string(::getpid())) {
    EXPECT_TRUE(With(&::bind, socket_));
    EXPECT_EQ(::listen(socket_, 0), 0);
    for (bool taken = true; taken && waiting_.size() < 16;) {
      waiting_.push_back(Socket());
      taken = With(&::connect, waiting_.back());
    }
  }
  ~SilentServer() {
    for (const int fd : waiting_) ::close(fd);
    ::close(socket_);
  }
  const std::string& name() const { return name_; }
  // Whoever connects gets through from now on.
  void TakeAll() {
    for (int fd; (fd = ::accept(socket_, nullptr, nullptr)) >= 0;) waiting_.push_back(fd);
  }

 private:
  static int Socket() {
    return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }
  template <typename Call>
  bool With(Call call, int fd) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path + 1, name_.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
    return call(fd, reinterpret_cast<sockaddr*>(&address), size) == 0;
  }

  const int socket_;
  const std::string name_;
  std::vector<int> waiting_;
};

TEST(ShmClientWindowTest, GivesUpOnAServerThatTakesNoConnections) {
  SilentServer server;
  auto opened = std::async(std::launch::async, [&] {
    return ShmClientWindow::Open(server.name(), "client", 1 << 20, false).status();
  });
  const auto ended = opened.wait_for(2ms * ShmClientWindow::kConnectTimeoutMs);
  EXPECT_EQ(ended, std::future_status::ready);
  while (opened.wait_for(10ms) != std::future_status::ready) server.TakeAll();
  EXPECT_EQ(opened.get().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace larder
