// Opens windows over UCX: gives a client an id over gRPC, and binds the UCX connection whose hello names that id.
//
// A window that no connection has claimed within kClaimTimeout is dropped; a bound one ends with its connection,
// however that ends. Connections are bounded by windows_max, windows by the table.
//
// Thread-safe. `table`, `clock` and what `calls` refers to must outlive it. Destruction ends every transfer first.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/transport/ucx_window.h"
#include "server/transport/window_calls.h"
#include "server/transport/window_table.h"
#include "transport/ucx_worker.h"

namespace larder::server {

class UcxListener {
 public:
  static constexpr auto kClaimTimeout = std::chrono::seconds(5);

  struct Options {
    std::string listen;  // numeric IPv4 address and port of this host; port 0 picks one
    std::string transports = "tcp";
    std::string devices = "lo";
    uint32_t windows_max = 256;
  };
  // `calls` may be null: no call is taken then. INVALID_ARGUMENT when the address can not be used, INTERNAL when UCX does not start.
  static absl::StatusOr<std::unique_ptr<UcxListener>> Start(const Options& options,
                                                            WindowTable& table, const Clock& clock,
                                                            OpenCalls calls = nullptr);

  // Where clients connect to.
  const std::string& address() const { return worker_->address(); }

  // The id of a new window that waits for its connection. Codes of WindowTable::Admit.
  absl::StatusOr<std::string> Open(std::string_view owner, uint64_t bytes);
  // Drops windows whose connection did not come. Call it now and then.
  void DropUnclaimed();

 private:
  struct Unclaimed {
    std::shared_ptr<UcxWindow> window;
    std::string owner;
    TimePoint until;
  };

  UcxListener(WindowTable& table, const Clock& clock, OpenCalls calls)
      : table_(table), clock_(clock), open_calls_(std::move(calls)) {}
  transport::UcxWorker::Verdict Claim(const std::shared_ptr<transport::UcxPeer>& peer,
                                      const transport::UcxHello& hello);

  WindowTable& table_;
  const Clock& clock_;
  const OpenCalls open_calls_;
  Mutex mutex_;
  std::map<std::string, Unclaimed, std::less<>> unclaimed_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<transport::UcxWorker> worker_;
};

}  // namespace larder::server
