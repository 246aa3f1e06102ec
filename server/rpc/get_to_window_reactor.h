// One GetToWindow call: validates, then leaves the blocks to a WindowFetch and answers its outcomes.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
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
  void Answer(const std::vector<WindowFetch::Outcome>& outcomes);
  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  v1::GetToWindowResponse* const response_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  std::shared_ptr<WindowFetch> fetch_;  // set before the constructor returns, constant then
  // The blocks behind the prefix that was found, and why the first of them is missing.
  size_t beyond_ = 0;
  MissReason beyond_reason_ = MissReason::kNone;
};

}  // namespace larder::server
