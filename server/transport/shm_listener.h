// Opens windows of shared memory: the abstract unix socket over which clients of this host pass their memory.
//
// One connection is one window; its end, however it comes, is the client's death and drops the window. Peers
// must run as our user or as root. The name is random per start and told only over gRPC, so it can not be
// taken in advance. One thread, asleep while nothing happens; it never waits for a peer: a connection that
// sends no complete hello within kHelloTimeout is closed, as is one that does not read its answers until its socket
// is full.
//
// Thread-safe. `table`, `clock` and what `calls` refers to must outlive it.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/contract/limits.h"
#include "proto/contract/shm_window.h"
#include "server/base/clock.h"
#include "server/transport/window_calls.h"
#include "server/transport/window_table.h"

namespace larder::server {

class ShmListener {
 public:
  static constexpr auto kHelloTimeout = std::chrono::seconds(2);
  // Connections beside those of open windows.
  static constexpr size_t kHellosMax = 64;

  // `name`: of the socket, without the leading zero byte; at most `windows_max` connections hold a window.
  // `calls` may be null: then a client has nothing to say after its hello. INTERNAL when the socket can not be bound.
  static absl::StatusOr<std::unique_ptr<ShmListener>> Start(std::string_view name,
                                                            uint32_t windows_max,
                                                            WindowTable& table, const Clock& clock,
                                                            OpenCalls calls = nullptr);
  // Drops the windows of every connection.
  ~ShmListener();

  const std::string& name() const { return name_; }

 private:
  // Closes what it holds. Move-only.
  class Descriptor {
   public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(fd_, other.fd_);
      return *this;
    }
    int get() const { return fd_; }

   private:
    int fd_;
  };
  struct Connection {
    std::shared_ptr<Descriptor> socket;  // shared with who answers calls
    TimePoint since;
    std::string window_id;  // empty until the hello
    std::shared_ptr<WindowCalls> calls = nullptr;
  };
  struct Hello {
    ShmHello message;
    Descriptor memory;
  };

  ShmListener(std::string_view name, uint32_t windows_max, WindowTable& table, const Clock& clock,
              OpenCalls calls)
      : name_(name),
        windows_max_(windows_max),
        table_(table),
        clock_(clock),
        open_calls_(std::move(calls)) {}

  absl::Status Listen();
  void Run();
  void Accept();
  void OnReadable(int fd);
  bool Greet(Connection& connection);
  bool TakeCall(const Connection& connection);
  static void Send(const Descriptor& socket, const std::string& message);
  void Close(Connection& connection);
  void CloseSilent();
  // False when the message is no hello.
  static bool Receive(int fd, Hello& hello);
  absl::StatusOr<std::string> Open(const Hello& hello);

  const std::string name_;
  const uint32_t windows_max_;
  WindowTable& table_;
  const Clock& clock_;
  const OpenCalls open_calls_;
  Descriptor listen_;
  Descriptor epoll_;
  Descriptor stop_;  // readable: end
  // Confined to the thread.
  std::map<int, Connection> connections_;
  size_t silent_ = 0;  // connections without a window
  std::vector<char> message_ = std::vector<char>(kWindowCallBytesMax);
  std::thread thread_;
};

}  // namespace larder::server
