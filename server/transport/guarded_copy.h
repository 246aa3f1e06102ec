// Access to memory that another process shares with us and may spoil: a page that can not be had (the other
// side cut the file, memory is exhausted under strict overcommit) ends the access instead of the server.
//
// The kernel reports such a page with SIGBUS. The first use installs a handler for the whole process that
// leaves the guarded access of the faulting thread; outside of one the signal does what it did before.
//
//   if (!Guarded([&] { CopyBlock(window, slab, bytes); })) ...  // the window's memory gave way
//
// `access` must not own anything (it may be left half-way) nor take a lock. Thread-safe. Costs a few ns.
#pragma once

#include <csetjmp>

namespace larder::server {

namespace guarded_copy_internal {
// Where the calling thread continues after a SIGBUS; null outside of guarded accesses.
extern thread_local sigjmp_buf* volatile resume;
void InstallOnce();
// After the jump out of the handler.
void OnResumed();
}  // namespace guarded_copy_internal

template <typename Access>
bool Guarded(Access&& access) {
  guarded_copy_internal::InstallOnce();
  sigjmp_buf resume;
  // Without the signal mask, which would be a system call for every access.
  if (sigsetjmp(resume, 0) != 0) {
    guarded_copy_internal::OnResumed();
    return false;
  }
  guarded_copy_internal::resume = &resume;
  access();
  guarded_copy_internal::resume = nullptr;
  return true;
}

}  // namespace larder::server
