#include "server/rpc/connection_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"

namespace larder::server {
namespace {

// As calls over gRPC: what is farther away is no deadline.
constexpr uint64_t kTimeoutUsMax = 24ull * 3600 * 1'000'000;

TimePoint DeadlineOf(const v1::WindowCall& call, const Clock& clock) {
  if (call.timeout_us() > kTimeoutUsMax) return TimePoint::max();
  return clock.Now() + std::chrono::microseconds(call.timeout_us());
}

uint64_t BlocksOf(const v1::WindowCall& call) {
  if (call.has_get()) return static_cast<uint64_t>(call.get().targets_size());
  return std::max<uint64_t>(call.put().open().blocks(), call.put().blocks_size());
}

}  // namespace

bool ConnectionCalls::Take(std::string_view message) {
  if (message.size() > kWindowCallBytesMax) return false;  // a plane may carry more
  const auto call = std::make_shared<Call>();
  v1::WindowCall& request = call->request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
  if (request.has_more()) {
    std::shared_ptr<PutFromWindow> put;
    {
      MutexLock lock(mutex_);
      const auto found = running_.find(request.number());
      if (found != running_.end()) put = found->second->put;
    }
    if (put != nullptr) put->Add(request.more());
    return true;
  }
  if (!request.has_get() && !request.has_put()) return false;
  bool keeps_rules = true;
  if (Admit(call, keeps_rules)) Run(call);
  return keeps_rules;
}

bool ConnectionCalls::Admit(const std::shared_ptr<Call>& call, bool& keeps_rules) {
  absl::Status refusal;
  {
    MutexLock lock(mutex_);
    if (running_.contains(call->request.number())) {
      keeps_rules = false;  // an answer would be taken for the other's
      return false;
    }
    const uint64_t blocks = BlocksOf(call->request);
    if (blocks > kWindowCallBlocksMax) {
      refusal = TooMany("blocks", blocks, kWindowCallBlocksMax);
    } else if (running_.size() >= kWindowCallsMax) {
      refusal = OverLimit("calls of this connection", running_.size(), kWindowCallsMax);
    } else {
      running_[call->request.number()] = call;
      return true;
    }
  }
  call->reply.set_number(call->request.number());
  Reply(call->reply, ToGrpcStatus(refusal));
  return false;
}

void ConnectionCalls::Run(const std::shared_ptr<Call>& call) {
  const v1::WindowCall& request = call->request;
  CallOrigin origin{client_, DeadlineOf(request, backend_.clock)};
  const auto done = [self = shared_from_this(), call](const grpc::Status& status) {
    self->Finish(call, status);
  };
  if (request.has_get()) {
    const auto get = std::make_shared<GetToWindow>(backend_, std::move(origin));
    {
      MutexLock lock(mutex_);
      call->get = get;
    }
    get->Start(request.get(), call->reply.mutable_get(), done);
  } else {
    const auto put = std::make_shared<PutFromWindow>(backend_, std::move(origin));
    {
      MutexLock lock(mutex_);
      call->put = put;
    }
    put->Start(request.put(), PutFromWindow::Blocks::kMoreCome, call->reply.mutable_put(), done);
  }
}

void ConnectionCalls::Finish(const std::shared_ptr<Call>& call, const grpc::Status& status) {
  std::shared_ptr<Call> running;  // let go of after the lock, with what the call holds
  {
    MutexLock lock(mutex_);
    const auto found = running_.find(call->request.number());
    running = std::move(found->second);
    running_.erase(found);
    running->get = nullptr;
    running->put = nullptr;
  }
  call->reply.set_number(call->request.number());
  Reply(call->reply, status);
}

void ConnectionCalls::Reply(v1::WindowReply& reply, const grpc::Status& status) const {
  if (!status.ok()) {
    reply.clear_reply();
    reply.set_code(static_cast<uint32_t>(status.error_code()));
    reply.set_message(status.error_message());
  }
  answer_(reply.SerializeAsString());
}

void ConnectionCalls::End() {
  std::vector<std::shared_ptr<Call>> calls;
  {
    MutexLock lock(mutex_);
    for (const auto& [number, call] : running_) calls.push_back(call);
  }
  for (const auto& call : calls) {
    std::shared_ptr<GetToWindow> get;
    std::shared_ptr<PutFromWindow> put;
    {
      MutexLock lock(mutex_);
      get = call->get;
      put = call->put;
    }
    if (get != nullptr) get->Cancel();
    if (put != nullptr) put->Cancel();
  }
}

}  // namespace larder::server
