// One unary call with deadline and retries. Internal to the client library.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "proto/contract/grpc_status.h"

namespace larder {

// One attempt. start(context, request, response, callback) issues the call on a stub's async
// interface. `request` and `response` must live until `report` is called.
template <typename Request, typename Response, typename Start>
void StartUnary(Channel& channel, SystemTime deadline, const Request* request, Response* response,
                Channel::Report report, Start start) {
  struct AttemptState {
    grpc::ClientContext context;
    std::optional<Channel::InFlight> in_flight;
  };
  auto attempt = std::make_shared<AttemptState>();
  channel.Prepare(attempt->context, deadline);
  attempt->in_flight.emplace(channel, &attempt->context);
  response->Clear();
  start(&attempt->context, request, response,
        [attempt, report = std::move(report)](grpc::Status status) {
          attempt->in_flight.reset();
          report(FromGrpcStatus(status));
        });
}

// A call with its retries; `done` is called exactly once.
template <typename Response, typename Request, typename Start>
void CallUnary(const std::shared_ptr<Channel>& channel, SystemTime deadline, const Request& request,
               Start start, std::function<void(absl::StatusOr<Response>)> done) {
  struct Messages {
    Request request;
    Response response;
  };
  const auto messages = std::make_shared<Messages>(Messages{request, Response()});
  channel->Run(
      deadline,
      [channel = channel.get(), deadline, messages, start](Channel::Report report) {
        StartUnary(*channel, deadline, &messages->request, &messages->response, std::move(report),
                   start);
      },
      [messages, done = std::move(done)](absl::Status status) {
        if (status.ok()) {
          done(std::move(messages->response));
        } else {
          done(std::move(status));
        }
      });
}

// Runs an asynchronous call and waits for it. `start(done)`.
template <typename Result, typename Start>
Result Await(Start&& start) {
  // On the heap: the callback may still be unlocking when the waiter returns.
  struct Outcome {
    std::mutex mutex;
    std::condition_variable arrived;
    std::optional<Result> result;
  };
  const auto outcome = std::make_shared<Outcome>();
  std::forward<Start>(start)([outcome](Result result) {
    std::lock_guard lock(outcome->mutex);
    outcome->result = std::move(result);
    outcome->arrived.notify_one();
  });
  std::unique_lock lock(outcome->mutex);
  outcome->arrived.wait(lock, [&] { return outcome->result.has_value(); });
  return *std::move(outcome->result);
}

inline SystemTime DeadlineOf(const CallOptions& options) {
  return std::chrono::system_clock::now() + options.timeout;
}

}  // namespace larder
