// One child process of a test: started with its stdout on a pipe, killed and reaped with this
// object.
//
// A child never outlives the test program: it also dies when the thread that started it ends, so
// start children from a thread that lives as long as they shall. Between fork and exec only
// async-signal-safe calls are made: safe in a process that has threads (gRPC). A child that can not
// be started ends the test program: nothing after it would make sense. Confined to one thread.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace larder::testing {

class ChildProcess {
 public:
  explicit ChildProcess(std::vector<std::string> command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) Die("pipe2");
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) Die("fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(127);
      ::dup2(ends[1], STDOUT_FILENO);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    stdout_ = ends[0];
  }
  ~ChildProcess() {
    Kill();
    ::close(stdout_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const {
    if (!status_) ::kill(pid_, signal);
  }

  // SIGKILL, and waits for the end.
  void Kill() {
    if (status_) return;
    ::kill(pid_, SIGKILL);
    Reap(0);
  }

  // Wait status (see waitpid) when the child has ended by then.
  std::optional<int> WaitExit(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!status_ && std::chrono::steady_clock::now() < deadline) {
      if (!Reap(WNOHANG)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return status_;
  }

  // Next line of its stdout without the line's end; nullopt when none came by then or it closed its
  // stdout.
  std::optional<std::string> ReadLine(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      if (const size_t end = read_.find('\n'); end != std::string::npos) {
        std::string line = read_.substr(0, end);
        read_.erase(0, end + 1);
        return line;
      }
      const auto rest =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      pollfd wait = {stdout_, POLLIN, 0};
      if (rest.count() <= 0 || ::poll(&wait, 1, static_cast<int>(rest.count())) <= 0) return {};
      char piece[4096];
      const ssize_t bytes = ::read(stdout_, piece, sizeof(piece));
      if (bytes <= 0) return {};
      read_.append(piece, static_cast<size_t>(bytes));
    }
  }

 private:
  [[noreturn]] static void Die(const char* what) {
    std::fprintf(stderr, "could not start a child process: %s: %s\n", what, std::strerror(errno));
    std::abort();
  }

  bool Reap(int options) {
    int status = 0;
    if (::waitpid(pid_, &status, options) != pid_) return false;
    status_ = status;
    return true;
  }

  pid_t pid_ = -1;
  int stdout_ = -1;
  std::string read_;
  std::optional<int> status_;
};

}  // namespace larder::testing
