#include "server/rpc/watch_reactor.h"

#include <chrono>

#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"

namespace larder::server {
namespace {

// How stale a router's view may be; the log holds far more than is written in this time.
constexpr auto kPollInterval = std::chrono::milliseconds(100);
constexpr uint64_t kWatchersMax = 64;  // routers and dashboards of a fleet share one per process
constexpr size_t kEventsPerMessage = 4096;  // about 400 KB

}  // namespace

WatchReactor::WatchReactor(Backend& backend, grpc::CallbackServerContext* context,
                           const v1::WatchEventsRequest& request)
    : backend_(backend),
      meter_(backend.metrics, Method::kWatchEvents, backend.clock),
      space_(request.space_id()) {
  const uint64_t watchers = backend.store.events().watchers();
  if (watchers >= kWatchersMax) {
    Finish(meter_.Done(ToGrpcStatus(OverLimit("watchers of the server", watchers, kWatchersMax))));
    return;
  }
  watcher_.emplace(backend.store.events());
  StartSendInitialMetadata();  // tells the client that from here on it misses nothing
  Step();
}

void WatchReactor::Step() {
  if (cancelled_.load()) {
    Finish(meter_.Done(grpc::Status(grpc::StatusCode::CANCELLED, "the client ended the call")));
    return;
  }
  if (backend_.store.draining()) {
    Finish(meter_.Done(ToGrpcStatus(Draining())));
    return;
  }
  uint64_t lost = 0;
  const auto events = watcher_->Next(space_, kEventsPerMessage, &lost);
  if (events.empty() && lost == 0) {
    alarm_.Set(std::chrono::system_clock::now() + kPollInterval, [this](bool) { Step(); });
    return;
  }
  message_.Clear();
  message_.set_lost_events(lost);
  for (const BlockEvent& event : events) {
    v1::Event* wire = message_.add_events();
    wire->set_sequence(event.sequence);
    wire->set_kind(static_cast<v1::EventKind>(event.kind));
    wire->set_space_id(event.space);
    wire->set_prefix_hash(std::string(event.hash.view()));
    wire->set_parent_hash(std::string(event.parent.view()));
  }
  StartWrite(&message_);
}

void WatchReactor::OnWriteDone(bool ok) {
  if (!ok) cancelled_.store(true);
  Step();
}

}  // namespace larder::server
