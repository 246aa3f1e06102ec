// Counts one call and its duration when it ends.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <utility>

#include "proto/contract/grpc_status.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/rpc/backend.h"

namespace larder::server {

// Confined to its call.
class CallMeter {
 public:
  CallMeter(Metrics& metrics, Method method, const Clock& clock)
      : metrics_(metrics), method_(method), clock_(clock), start_(clock.Now()) {}

  // Counts, and returns the status unchanged. Call once.
  grpc::Status Done(grpc::Status status) const {
    const std::chrono::duration<double> elapsed = clock_.Now() - start_;
    metrics_.CountRequest(method_, static_cast<int>(status.error_code()), elapsed.count());
    return status;
  }

 private:
  Metrics& metrics_;
  const Method method_;
  const Clock& clock_;
  const TimePoint start_;
};

// Answers one unary call at once: `run` does the work and returns an absl::Status.
template <typename Run>
grpc::ServerUnaryReactor* AnswerUnary(const Backend& backend, Method method,
                                      grpc::CallbackServerContext* context, Run&& run) {
  const CallMeter meter(backend.metrics, method, backend.clock);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(meter.Done(ToGrpcStatus(std::forward<Run>(run)())));
  return reactor;
}

}  // namespace larder::server
