// One GetToWindow call, whoever brought it (gRPC, a window's own connection): validates, then leaves the blocks to a
// WindowFetch and answers its outcomes.
//
// Whatever comes of the call, every progress slot that it named says kEnded before it is answered: a client that
// gets no answer, or one that could be gRPC's own, knows from the slots that its ranges are free again.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "larder/v1/window.pb.h"
#include "server/base/mutex.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"
#include "server/rpc/call_origin.h"
#include "server/store/window_fetch.h"

namespace larder::server {

// Thread-safe. Keeps itself alive until it is answered.
class GetToWindow final : public std::enable_shared_from_this<GetToWindow> {
 public:
  GetToWindow(Backend& backend, CallOrigin origin);

  // `response` must live until `done`, which is called exactly once: on this thread or another. Call once.
  void Start(const v1::GetToWindowRequest& request, v1::GetToWindowResponse* response,
             CallDone done);
  // Nobody is interested any more: what has not begun is a miss.
  void Cancel();

 private:
  absl::Status Accept(const v1::GetToWindowRequest& request);
  absl::Status FindPrefix(const v1::GetToWindowRequest& request, const SpaceEntry& space,
                          Fidelity fidelity, std::vector<PrefixHash>& hashes);
  void SkipFrom(size_t first) const;
  void Answer(const std::vector<WindowFetch::Outcome>& outcomes);
  void End(const absl::Status& status);

  Backend& backend_;
  const CallOrigin origin_;
  const CallMeter meter_;
  v1::GetToWindowResponse* response_ = nullptr;
  CallDone done_;
  // Once the call's ranges are known to lie in the window.
  std::shared_ptr<Window> window_;
  std::optional<uint64_t> progress_offset_;
  size_t blocks_ = 0;  // that the call names
  // The blocks behind the prefix that was found, and why the first of them is missing.
  size_t beyond_ = 0;
  MissReason beyond_reason_ = MissReason::kNone;

  Mutex mutex_;
  std::shared_ptr<WindowFetch> fetch_ ABSL_GUARDED_BY(mutex_);  // constant once it is set
  StreamGate::Ticket ticket_;                                   // the first to go: it calls Cancel
};

}  // namespace larder::server
