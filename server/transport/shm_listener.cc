#include "server/transport/shm_listener.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/transport/shm_window.h"

namespace larder::server {
namespace {

constexpr int kEventsMax = 16;
constexpr int kBacklog = 64;
// A connection that can not be taken for want of a descriptor stays in the queue, and the queue readable.
constexpr auto kNoDescriptorPause = std::chrono::milliseconds(20);
// While a hello is awaited the thread looks this often whether it is overdue.
constexpr int kHelloLookMs = 200;
// More descriptors than one are refused; they must be received to be closed.
constexpr int kDescriptorsMax = 8;

bool MayConnect(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

void Answer(int fd, const absl::StatusOr<std::string>& window_id) {
  ShmReply reply;
  reply.code = static_cast<uint32_t>(window_id.status().code());
  if (window_id.ok()) {
    std::copy(window_id->begin(), window_id->end(), reply.window_id.begin());
  } else {
    const absl::string_view text = window_id.status().message();
    std::copy_n(text.begin(), std::min(text.size(), reply.text.size() - 1), reply.text.begin());
  }
  // A fresh connection has room for one message; a peer that is gone is noticed by its hang-up.
  ::send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

ShmListener::Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<std::unique_ptr<ShmListener>> ShmListener::Start(std::string_view name,
                                                                uint32_t windows_max,
                                                                WindowTable& table,
                                                                const Clock& clock,
                                                                OpenCalls calls) {
  std::unique_ptr<ShmListener> listener(
      new ShmListener(name, windows_max, table, clock, std::move(calls)));
  if (absl::Status status = listener->Listen(); !status.ok()) return status;
  listener->thread_ = std::thread([raw = listener.get()] { raw->Run(); });
  return listener;
}

ShmListener::~ShmListener() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  thread_.join();
  for (auto& [fd, connection] : connections_) Close(connection);
}

absl::Status ShmListener::Listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name_.empty() || name_.size() >= sizeof(address.sun_path)) {
    return Bug("the local socket's name does not fit");
  }
  std::copy(name_.begin(), name_.end(), address.sun_path + 1);  // abstract: a leading zero byte
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
  listen_ = Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  stop_ = Descriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  bool good = listen_.get() >= 0 && epoll_.get() >= 0 && stop_.get() >= 0 &&
              ::bind(listen_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
              ::listen(listen_.get(), kBacklog) == 0;
  for (const int fd : {listen_.get(), stop_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    good = good && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  if (!good) return Bug(absl::StrCat("the local socket can not be opened: errno ", errno));
  return absl::OkStatus();
}

void ShmListener::Run() {
  std::array<epoll_event, kEventsMax> events;
  while (true) {
    const int ready =
        ::epoll_wait(epoll_.get(), events.data(), kEventsMax, silent_ > 0 ? kHelloLookMs : -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      if (fd == stop_.get()) return;
      if (fd == listen_.get()) {
        Accept();
      } else {
        OnReadable(fd);
      }
    }
    if (silent_ > 0) CloseSilent();
  }
}

void ShmListener::Accept() {
  Descriptor socket(::accept4(listen_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      std::this_thread::sleep_for(kNoDescriptorPause);
    }
    return;
  }
  if (!MayConnect(socket.get())) return;
  // A window that CloseWindow ended leaves its connection to the client, so both are bounded.
  if (silent_ >= kHellosMax || connections_.size() - silent_ >= windows_max_) {
    Answer(socket.get(),
           OverLimit("connections for windows", connections_.size(), windows_max_ + kHellosMax));
    return;
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = socket.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) return;
  const int fd = socket.get();
  connections_[fd] = {std::make_shared<Descriptor>(std::move(socket)), clock_.Now(), {}};
  ++silent_;
}

// A hello, a call, or the end.
void ShmListener::OnReadable(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  const bool goes_on = connection.window_id.empty() ? Greet(connection) : TakeCall(connection);
  if (goes_on) return;
  Close(connection);
  connections_.erase(found);
}

bool ShmListener::Greet(Connection& connection) {
  Hello hello;
  if (!Receive(connection.socket->get(), hello)) return false;
  const auto opened = Open(hello);
  if (opened.ok()) {
    connection.window_id = *opened;
    --silent_;
    const std::string_view client(hello.message.client_id.data(), hello.message.client_id_bytes);
    if (open_calls_) {
      connection.calls = open_calls_(
          std::string(client),
          [socket = connection.socket](const std::string& message) { Send(*socket, message); });
    }
  }
  // Last: a client that has it may call.
  Answer(connection.socket->get(), opened);
  return opened.ok();
}

bool ShmListener::TakeCall(const Connection& connection) {
  const ssize_t size =
      ::recv(connection.socket->get(), message_.data(), message_.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  return size > 0 && static_cast<size_t>(size) <= message_.size() && connection.calls != nullptr &&
         connection.calls->Take({message_.data(), static_cast<size_t>(size)});
}

// A client that leaves its answers until the socket is full is not waited for: its connection ends.
void ShmListener::Send(const Descriptor& socket, const std::string& message) {
  const ssize_t sent =
      ::send(socket.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(message.size())) ::shutdown(socket.get(), SHUT_RDWR);
}

// Who still answers its calls may keep the descriptor: the client must see the end all the same.
void ShmListener::Close(Connection& connection) {
  const int fd = connection.socket->get();
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  ::shutdown(fd, SHUT_RDWR);
  if (connection.window_id.empty()) {
    --silent_;
    return;
  }
  if (connection.calls != nullptr) connection.calls->End();
  table_.Drop(connection.window_id);
}

void ShmListener::CloseSilent() {
  const TimePoint overdue = clock_.Now() - kHelloTimeout;
  for (auto it = connections_.begin(); it != connections_.end();) {
    const bool close = it->second.window_id.empty() && it->second.since < overdue;
    if (close) Close(it->second);
    it = close ? connections_.erase(it) : std::next(it);
  }
}

bool ShmListener::Receive(int fd, Hello& hello) {
  iovec bytes{&hello.message, sizeof(hello.message)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kDescriptorsMax)> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  int descriptors = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received;
      std::memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      hello.memory = Descriptor(received);  // one of several is closed here
      ++descriptors;
    }
  }
  return size == static_cast<ssize_t>(sizeof(hello.message)) && descriptors == 1 &&
         (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && hello.message.magic == kShmMagic &&
         hello.message.version == kShmVersion &&
         hello.message.client_id_bytes <= hello.message.client_id.size();
}

absl::StatusOr<std::string> ShmListener::Open(const Hello& hello) {
  const std::string_view owner(hello.message.client_id.data(), hello.message.client_id_bytes);
  if (owner.empty()) return InvalidField("client_id", "empty", "1 to 64 bytes");
  auto permit = table_.Admit(owner, hello.message.window_bytes);
  if (!permit.ok()) return permit.status();
  auto window = ShmWindow::Map(hello.memory.get(), hello.message.window_bytes, clock_);
  if (!window.ok()) return window.status();
  return table_.Add(*std::move(permit), *std::move(window));
}

}  // namespace larder::server
