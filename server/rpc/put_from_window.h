// One PutFromWindow call, whoever brought it: validates, then leaves the blocks to a WindowIngest and answers its
// results.
#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "larder/v1/window.pb.h"
#include "server/base/mutex.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"
#include "server/rpc/call_origin.h"
#include "server/store/window_ingest.h"

namespace larder::server {

// Thread-safe. Keeps itself alive until it is answered.
class PutFromWindow final : public std::enable_shared_from_this<PutFromWindow> {
 public:
  // Whether the request brings all of its blocks, or Add the rest.
  enum class Blocks : uint8_t { kAll, kMoreCome };

  PutFromWindow(Backend& backend, CallOrigin origin);

  // `response` must live until `done`, which is called exactly once: on this thread or another. Call once.
  void Start(const v1::PutFromWindowRequest& request, Blocks blocks,
             v1::PutFromWindowResponse* response, CallDone done);
  // The next blocks, after Start has returned, on the same thread. What breaks the contract ends the call with that.
  void Add(const v1::WindowPutMore& more);
  // Nobody is interested any more: blocks that are not whole are left out.
  void Cancel();

 private:
  using WireBlocks = google::protobuf::RepeatedPtrField<v1::WindowPutBlock>;
  absl::Status Accept(const v1::PutFromWindowRequest& request, Blocks blocks);
  absl::StatusOr<std::vector<WindowIngest::Block>> BlocksOf(const WireBlocks& wire) const;
  std::shared_ptr<WindowIngest> ingest() {
    MutexLock lock(mutex_);
    return ingest_;
  }
  void End(const absl::Status& status);

  Backend& backend_;
  const CallOrigin origin_;
  const CallMeter meter_;
  v1::PutFromWindowResponse* response_ = nullptr;
  CallDone done_;
  std::shared_ptr<Window> window_;  // constant once the call is accepted

  Mutex mutex_;
  std::shared_ptr<WindowIngest> ingest_ ABSL_GUARDED_BY(mutex_);  // constant once it is set
  StreamGate::Ticket ticket_;  // the first to go: it calls Cancel
};

}  // namespace larder::server
