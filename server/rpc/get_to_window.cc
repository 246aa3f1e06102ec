#include "server/rpc/get_to_window.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"
#include "proto/contract/shm_window.h"
#include "server/rpc/window_ranges.h"

namespace larder::server {

GetToWindow::GetToWindow(Backend& backend, CallOrigin origin)
    : backend_(backend),
      origin_(std::move(origin)),
      meter_(backend.metrics, Method::kGetToWindow, backend.clock),
      ticket_(
          backend.gate, StreamKind::kGet, origin_.client, [this] { Cancel(); }, origin_.deadline) {}

void GetToWindow::Start(const v1::GetToWindowRequest& request, v1::GetToWindowResponse* response,
                        CallDone done) {
  response_ = response;
  done_ = std::move(done);
  if (const absl::Status status = Accept(request); !status.ok()) {
    SkipFrom(0);
    End(status);
    return;
  }
  SkipFrom(blocks_ - beyond_);
  std::shared_ptr<WindowFetch> fetch;
  {
    MutexLock lock(mutex_);
    fetch = fetch_;
  }
  if (fetch == nullptr) {
    Answer({});
    return;
  }
  fetch->Start([self = shared_from_this()](std::vector<WindowFetch::Outcome> outcomes) {
    self->Answer(outcomes);
  });
}

absl::Status GetToWindow::Accept(const v1::GetToWindowRequest& request) {
  const v1::GetRequest& get = request.get();
  auto hashes = HashesFromWire(get.prefix_hashes(), kGetBlocksMax, "get.prefix_hashes");
  if (!hashes.ok()) return hashes.status();
  if (request.targets_size() != get.prefix_hashes_size()) {
    return InvalidField("targets", absl::StrCat(request.targets_size()),
                        absl::StrCat(get.prefix_hashes_size(), ", one per hash"));
  }
  const auto fidelity = FidelityFromWire(get.fidelity_min());
  if (!fidelity.ok()) return fidelity.status();
  auto window = backend_.windows.Find(request.window_id(), origin_.client);
  if (!window.ok()) return window.status();
  WindowFetch::Request fetch;
  fetch.tag = request.tag();
  fetch.prefix = request.prefix();
  fetch.to_caches = request.to_caches();
  fetch.deadline = origin_.deadline;
  fetch.on_progress = [this] { ticket_.Touch(); };
  for (const v1::WindowRange& range : request.targets()) {
    if (absl::Status status = CheckRange(range, **window, "targets"); !status.ok()) return status;
    fetch.targets.push_back({range.offset(), range.bytes()});
  }
  if (request.has_progress_offset()) {
    v1::WindowRange slots;
    slots.set_offset(request.progress_offset());
    slots.set_bytes(hashes->size() * sizeof(ProgressSlot));
    if (absl::Status status = CheckRange(slots, **window, "progress_offset"); !status.ok()) {
      return status;
    }
    fetch.progress_offset = request.progress_offset();
  }
  window_ = *window;
  progress_offset_ = fetch.progress_offset;
  blocks_ = hashes->size();
  if (!ticket_.refusal().ok()) return ticket_.refusal();
  const auto space = backend_.store.spaces().Find(get.space_id());
  if (!space.ok()) return space.status();
  if (!get.lease_id().empty()) {
    const auto lease = LeaseIdFromWire(get.lease_id());
    if (!lease.ok()) return lease.status();
    if (absl::Status status = backend_.store.leases().CheckLive(*lease); !status.ok()) {
      return status;
    }
  }
  if (request.prefix()) {
    if (absl::Status status = FindPrefix(request, **space, *fidelity, *hashes); !status.ok()) {
      return status;
    }
    fetch.targets.resize(hashes->size());
    if (hashes->empty()) return absl::OkStatus();
  }
  auto session = std::make_unique<FetchSession>(backend_.store.OpenFetch(
      **space, *std::move(hashes), {*fidelity, get.verify_at_server(), fetch.deadline}));
  MutexLock lock(mutex_);
  fetch_ = WindowFetch::Create({backend_.transport, backend_.metrics}, window_, std::move(session),
                               std::move(fetch));
  return absl::OkStatus();
}

// The lookup that the client would have made before this get: leases and counts as that.
absl::Status GetToWindow::FindPrefix(const v1::GetToWindowRequest& request, const SpaceEntry& space,
                                     Fidelity fidelity, std::vector<PrefixHash>& hashes) {
  const auto ttl = LeaseTtlFromWire(request.lease_ttl());
  if (!ttl.ok()) return ttl.status();
  beyond_ = hashes.size();
  if (backend_.store.draining()) {
    beyond_reason_ = MissReason::kDraining;
    hashes.clear();
    return absl::OkStatus();
  }
  const auto found = backend_.store.lookup().Run(space, hashes, fidelity, origin_.client, *ttl);
  if (!found.ok()) return found.status();
  hashes.resize(found->blocks.size());
  beyond_ -= found->blocks.size();
  beyond_reason_ = found->miss_reason;
  if (!found->lease_id.empty()) {
    response_->set_lease_id(found->lease_id);
    *response_->mutable_lease_ttl() = DurationToWire(*ttl);
  }
  return absl::OkStatus();
}

// The blocks of the call from this one on will not come.
void GetToWindow::SkipFrom(size_t first) const {
  if (!progress_offset_) return;
  for (size_t i = first; i < blocks_; ++i) {
    Transfer transfer;
    transfer.progress_offset = *progress_offset_ + i * sizeof(ProgressSlot);
    window_->Skip(transfer);
  }
}

void GetToWindow::Answer(const std::vector<WindowFetch::Outcome>& outcomes) {
  for (const WindowFetch::Outcome& outcome : outcomes) {
    v1::WindowGetResult* const result = response_->add_results();
    result->set_frame_bytes(outcome.frame_bytes);
    result->set_outcome(outcome.hit         ? v1::GET_OUTCOME_HIT
                        : outcome.too_large ? v1::GET_OUTCOME_TOO_LARGE
                                            : v1::GET_OUTCOME_MISS);
    result->set_miss_reason(static_cast<v1::MissReason>(outcome.miss_reason));
  }
  for (size_t i = 0; i < beyond_; ++i) {
    v1::WindowGetResult* const result = response_->add_results();
    result->set_outcome(v1::GET_OUTCOME_MISS);
    result->set_miss_reason(static_cast<v1::MissReason>(beyond_reason_));
  }
  End(absl::OkStatus());
}

void GetToWindow::Cancel() {
  MutexLock lock(mutex_);
  if (fetch_ != nullptr) fetch_->Cancel();
}

void GetToWindow::End(const absl::Status& status) {
  std::exchange(done_, nullptr)(meter_.Done(ToGrpcStatus(status)));
}

}  // namespace larder::server
