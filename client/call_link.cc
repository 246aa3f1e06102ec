#include "client/call_link.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "proto/contract/errors.h"
#include "proto/contract/limits.h"

namespace larder {
namespace {

absl::Status Ended() { return ServerUnreachable("the window's connection", "it has ended"); }

}  // namespace

std::optional<uint64_t> CallLink::Start(v1::WindowCall& call, SystemTime deadline,
                                        Replied replied) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      deadline - std::chrono::system_clock::now());
  call.set_timeout_us(static_cast<uint64_t>(std::max<int64_t>(left.count(), 0)));
  uint64_t number;
  {
    std::lock_guard lock(mutex_);
    if (ended_ || waiting_.size() >= kWindowCallsMax) return std::nullopt;
    number = ++number_;
    waiting_[number] = std::move(replied);
  }
  call.set_number(number);
  std::string message = call.SerializeAsString();
  if (message.size() <= kWindowCallBytesMax && send_(std::move(message))) return number;
  std::lock_guard lock(mutex_);
  // It may have ended meanwhile, and then has told so.
  return waiting_.erase(number) > 0 ? std::nullopt : std::optional(number);
}

bool CallLink::Add(uint64_t number, v1::WindowCall& more) {
  more.set_number(number);
  std::string message = more.SerializeAsString();
  return message.size() <= kWindowCallBytesMax && send_(std::move(message));
}

bool CallLink::OnMessage(std::string_view message) {
  v1::WindowReply reply;
  if (!reply.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
  Replied replied;
  {
    std::lock_guard lock(mutex_);
    const auto found = waiting_.find(reply.number());
    if (found == waiting_.end()) return false;
    replied = std::move(found->second);
    waiting_.erase(found);
  }
  if (reply.code() != 0) {
    replied(absl::Status(static_cast<absl::StatusCode>(reply.code()), reply.message()));
  } else {
    replied(std::move(reply));
  }
  return true;
}

void CallLink::End() {
  std::map<uint64_t, Replied> waiting;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& [number, replied] : waiting) replied(Ended());
}

}  // namespace larder
