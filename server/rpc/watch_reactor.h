// One WatchEvents stream: polls the event log and writes what is new.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>

#include "larder/v1/cache.pb.h"
#include "server/base/mutex.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone, which comes after Finish, and Finish is only called when
// neither a write nor the alarm is pending.
class WatchReactor final : public grpc::ServerWriteReactor<v1::WatchEventsResponse> {
 public:
  WatchReactor(Backend& backend, grpc::CallbackServerContext* context,
               const v1::WatchEventsRequest& request);

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override { cancelled_.store(true); }
  void OnDone() override { delete this; }

  // Writes what is new, or waits for the next poll, or ends.
  void Step();

  Backend& backend_;
  const CallMeter meter_;
  const SpaceId space_;
  std::optional<EventLog::Watcher> watcher_;
  v1::WatchEventsResponse message_;
  grpc::Alarm alarm_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace larder::server
