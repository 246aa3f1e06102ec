// One PutFromWindow call: validates, then leaves the blocks to a WindowIngest and answers its results.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "larder/v1/window.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"
#include "server/store/window_ingest.h"

namespace larder::server {

// Owns itself, as GetToWindowReactor.
class PutFromWindowReactor final : public grpc::ServerUnaryReactor {
 public:
  PutFromWindowReactor(Backend& backend, grpc::CallbackServerContext* context,
                       const v1::PutFromWindowRequest& request,
                       v1::PutFromWindowResponse* response);

 private:
  absl::Status Accept(const v1::PutFromWindowRequest& request);
  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  v1::PutFromWindowResponse* const response_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  std::shared_ptr<WindowIngest> ingest_;  // set before the constructor returns, constant then
};

}  // namespace larder::server
