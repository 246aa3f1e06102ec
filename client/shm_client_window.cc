#include "client/shm_client_window.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// More than Linux gives a local socket for what is on its way (208 KiB).
constexpr size_t kReplyBytesMax = 256 << 10;

// Closes what it holds.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::Status Unreachable(std::string_view what) {
  return ServerUnreachable("its local socket",
                           absl::StrCat(std::string(what), ": ", std::strerror(errno)));
}

absl::Status Connect(int fd, std::string_view name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof(address.sun_path)) {
    return InvalidField("shm_socket", absl::StrCat(name.size(), " bytes"), "1 to 107 bytes");
  }
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0)
    return Unreachable("connect");
  // The name is the server's secret, but whoever has it gets our memory: it must be ours or root's.
  ucred peer{};
  socklen_t peer_size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0) {
    return Unreachable("peer credentials");
  }
  if (peer.uid != 0 && peer.uid != ::geteuid() && ::geteuid() != 0) return HashProbeMismatch();
  return absl::OkStatus();
}

bool SendHello(int fd, const ShmHello& hello, int memory) {
  iovec bytes{const_cast<ShmHello*>(&hello), sizeof(hello)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(part), &memory, sizeof(int));
  return ::sendmsg(fd, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(hello));
}

// The reply within the timeout.
absl::Status AwaitReply(int fd, ShmReply& reply) {
  pollfd ready{fd, POLLIN, 0};
  if (::poll(&ready, 1, ShmClientWindow::kConnectTimeoutMs) != 1) return Unreachable("no reply");
  if (::recv(fd, &reply, sizeof(reply), MSG_DONTWAIT) != static_cast<ssize_t>(sizeof(reply)) ||
      reply.magic != kShmMagic) {
    return Unreachable("no reply");
  }
  if (reply.code == 0) return absl::OkStatus();
  reply.text.back() = '\0';
  return absl::Status(static_cast<absl::StatusCode>(reply.code), reply.text.data());
}

}  // namespace

absl::StatusOr<std::shared_ptr<ShmClientWindow>> ShmClientWindow::Open(std::string_view socket_name,
                                                                       std::string_view client_id,
                                                                       uint64_t bytes, bool touch) {
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // A server that takes no connections leaves them in its queue; when that is full, connecting waits.
  const timeval patience{kConnectTimeoutMs / 1000, kConnectTimeoutMs % 1000 * 1000};
  if (socket.get() < 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0) {
    return Unreachable("socket");
  }
  if (absl::Status status = Connect(socket.get(), socket_name); !status.ok()) return status;
  Descriptor memory(::memfd_create("larder-window", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (memory.get() < 0 || ::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(memory.get(), F_ADD_SEALS, kShmSeals) != 0) {
    return Unreachable("memory");
  }
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (mapped == MAP_FAILED) return Unreachable("mapping");
  std::shared_ptr<ShmClientWindow> window(
      new ShmClientWindow(socket.Release(), static_cast<std::byte*>(mapped), bytes));
  ShmHello hello;
  hello.window_bytes = bytes;
  hello.client_id_bytes = static_cast<uint32_t>(std::min(client_id.size(), hello.client_id.size()));
  std::copy_n(client_id.begin(), hello.client_id_bytes, hello.client_id.begin());
  if (!SendHello(window->socket_, hello, memory.get())) return Unreachable("hello");
  ShmReply reply;
  if (absl::Status status = AwaitReply(window->socket_, reply); !status.ok()) return status;
  window->id_.assign(reply.window_id.begin(), reply.window_id.end());
  // Not before: it takes a second for a few GiB, and the server does not wait that long for a hello.
  if (touch) std::memset(window->memory_, 0, bytes);
  window->receiver_ = std::thread([raw = window.get()] { raw->Receive(); });
  return window;
}

ShmClientWindow::ShmClientWindow(int socket, std::byte* memory, uint64_t bytes)
    : socket_(socket), memory_(memory), bytes_(bytes), calls_([this](const std::string& message) {
        const ssize_t sent =
            ::send(socket_, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent == static_cast<ssize_t>(message.size());
      }) {}

ShmClientWindow::~ShmClientWindow() {
  Disconnect();
  if (receiver_.joinable()) receiver_.join();
  ::close(socket_);
  ::munmap(memory_, bytes_);
}

void ShmClientWindow::Receive() {
  std::vector<char> message(kReplyBytesMax);
  while (true) {
    const ssize_t size = ::recv(socket_, message.data(), message.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0 || static_cast<size_t>(size) > message.size() ||
        !calls_.OnMessage({message.data(), static_cast<size_t>(size)})) {
      break;
    }
  }
  Disconnect();
}

void ShmClientWindow::Disconnect() {
  if (!alive_.exchange(false)) return;
  ::shutdown(socket_, SHUT_RDWR);
  calls_.End();
}

}  // namespace larder
