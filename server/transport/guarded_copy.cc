#include "server/transport/guarded_copy.h"

#include <signal.h>

#include <mutex>

namespace larder::server {
namespace guarded_copy_internal {

thread_local sigjmp_buf* volatile resume = nullptr;

namespace {

struct sigaction previous;

void OnBusError(int signal, siginfo_t* info, void* context) {
  if (resume != nullptr) siglongjmp(*resume, 1);
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
    return;
  }
  // The access is repeated and ends the process, as it would have.
  ::sigaction(SIGBUS, &previous, nullptr);
}

}  // namespace

void InstallOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigaction(SIGBUS, &action, &previous);
  });
}

// The handler does not block the signal; a tool that wraps it (TSan) does.
void OnResumed() {
  resume = nullptr;
  sigset_t bus;
  ::sigemptyset(&bus);
  ::sigaddset(&bus, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
}

}  // namespace guarded_copy_internal

}  // namespace larder::server
