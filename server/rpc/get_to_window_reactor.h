// One GetToWindow call: validates, then leaves the blocks to a WindowFetch and answers its outcomes.
//
// Whatever comes of the call, every progress slot that it named says kEnded before it is answered: a client that
// gets no answer, or one that could be gRPC's own, knows from the slots that its ranges are free again.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <vector>

#include "larder/v1/window.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"
#include "server/store/window_fetch.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone, which comes after Finish and every other reaction. Between
// construction and Finish only OnCancel touches it.
class GetToWindowReactor final : public grpc::ServerUnaryReactor {
 public:
  GetToWindowReactor(Backend& backend, grpc::CallbackServerContext* context,
                     const v1::GetToWindowRequest& request, v1::GetToWindowResponse* response);

 private:
  absl::Status Accept(const v1::GetToWindowRequest& request);
  absl::Status FindPrefix(const v1::GetToWindowRequest& request, const SpaceEntry& space,
                          Fidelity fidelity, std::vector<PrefixHash>& hashes);
  void SkipFrom(size_t first) const;
  void Answer(const std::vector<WindowFetch::Outcome>& outcomes);
  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  v1::GetToWindowResponse* const response_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  // Once the call's ranges are known to lie in the window.
  std::shared_ptr<Window> window_;
  std::optional<uint64_t> progress_offset_;
  size_t blocks_ = 0;  // that the call names

  std::shared_ptr<WindowFetch> fetch_;  // set before the constructor returns, constant then
  // The blocks behind the prefix that was found, and why the first of them is missing.
  size_t beyond_ = 0;
  MissReason beyond_reason_ = MissReason::kNone;
};

}  // namespace larder::server
