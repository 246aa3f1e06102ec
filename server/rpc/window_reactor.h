// A GetToWindow or PutFromWindow call that gRPC brought.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "server/rpc/backend.h"
#include "server/rpc/call_client.h"
#include "server/rpc/call_deadline.h"
#include "server/rpc/call_origin.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone, which comes after Finish and every other reaction.
template <typename Verb>
class WindowReactor final : public grpc::ServerUnaryReactor {
 public:
  // start(verb, done) starts it.
  template <typename Start>
  WindowReactor(Backend& backend, grpc::CallbackServerContext* context, Start start)
      : verb_(std::make_shared<Verb>(
            backend, CallOrigin{ClientOf(*context), DeadlineOf(*context, backend.clock)})) {
    start(*verb_, [this](const grpc::Status& status) { Finish(status); });
  }

 private:
  void OnCancel() override { verb_->Cancel(); }
  void OnDone() override { delete this; }

  const std::shared_ptr<Verb> verb_;
};

}  // namespace larder::server
