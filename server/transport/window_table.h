// The open windows of all clients: their ids, owners and bounds.
//
// Ids are 16 random bytes, so a window can not be guessed; a call must also come from the client that opened
// it. What is bounded: windows in all and per client, bytes of one window and of all. A window leaves the
// table when it is closed, when its client's connection ends, or with the table; its bytes count until its
// last running call has let go of it, because until then its memory is held.
//
// Thread-safe. Must outlive every window that it was given.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/base/byte_budget.h"
#include "server/base/mutex.h"
#include "server/transport/window.h"

namespace larder::server {

class WindowTable {
 public:
  static constexpr size_t kIdBytes = 16;

  struct Options {
    uint32_t windows_max = 0;
    uint32_t windows_per_client_max = 0;
    uint64_t window_bytes_max = 0;   // of one
    uint64_t windows_bytes_max = 0;  // of all
  };
  explicit WindowTable(const Options& options);
  ~WindowTable() { CloseAll(); }

  // The right to open one window of `bytes` for `owner`. Take it before the window is made, so that bounds are
  // checked before memory is mapped. Move-only.
  class Permit {
   public:
    Permit(Permit&&) = default;
    Permit& operator=(Permit&&) = delete;

   private:
    friend class WindowTable;
    Permit(std::string owner, std::shared_ptr<void> held)
        : owner_(std::move(owner)), held_(std::move(held)) {}
    std::string owner_;
    std::shared_ptr<void> held_;  // count and bytes, given back with the last owner
  };
  // INVALID_ARGUMENT for 0 bytes or more than window_bytes_max; RESOURCE_EXHAUSTED beyond the other bounds.
  absl::StatusOr<Permit> Admit(std::string_view owner, uint64_t bytes);

  // The window's id. The permit is held until the window is gone.
  std::string Add(Permit permit, std::shared_ptr<Window> window);

  // The window, held open by the result. FAILED_PRECONDITION when it is not open or another client's: the two
  // are not told apart, so that ids can not be probed.
  absl::StatusOr<std::shared_ptr<Window>> Find(std::string_view id, std::string_view owner);

  // Closes one. `gone` is called once, when the last running call has let go of it, on the thread that did:
  // at once when none runs. False, and `gone` is dropped, when it is not open or another's.
  bool Close(std::string_view id, std::string_view owner, std::function<void()> gone);
  // The client's connection has ended.
  void Drop(std::string_view id);
  void CloseAll();

  struct Stats {
    uint64_t windows = 0;  // open
    uint64_t bytes = 0;    // held, also by windows that are closed and still in use
    uint64_t bytes_max = 0;
  };
  Stats stats() const;

 private:
  struct Owned;
  struct Held;
  struct Entry {
    std::string owner;
    std::shared_ptr<Window> window;
    Owned* owned;  // lives as long as `window`
  };
  std::shared_ptr<Window> TakeLocked(std::string_view id, const std::string_view* owner,
                                     std::function<void()> gone)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack(const std::string& owner);

  const Options options_;
  ByteBudget bytes_;
  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> windows_ ABSL_GUARDED_BY(mutex_);
  // Windows that hold memory, by owner and in all.
  absl::flat_hash_map<std::string, uint32_t> held_by_owner_ ABSL_GUARDED_BY(mutex_);
  uint32_t held_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
