#include "server/transport/ucx_listener.h"

#include <utility>
#include <vector>

#include "proto/contract/errors.h"

namespace larder::server {

static_assert(transport::kUcxWindowIdBytes == WindowTable::kIdBytes);

absl::StatusOr<std::unique_ptr<UcxListener>> UcxListener::Start(const Options& options,
                                                                WindowTable& table,
                                                                const Clock& clock,
                                                                OpenCalls calls) {
  std::unique_ptr<UcxListener> listener(new UcxListener(table, clock, std::move(calls)));
  transport::UcxWorker::Options worker;
  worker.transports = options.transports;
  worker.devices = options.devices;
  worker.listen = options.listen;
  worker.peers_max = options.windows_max;
  worker.accept = [raw = listener.get()](const auto& peer, const auto& hello) {
    return raw->Claim(peer, hello);
  };
  auto started = transport::UcxWorker::Start(std::move(worker));
  if (!started.ok()) return started.status();
  listener->worker_ = *std::move(started);
  return listener;
}

absl::StatusOr<std::string> UcxListener::Open(std::string_view owner, uint64_t bytes) {
  auto permit = table_.Admit(owner, bytes);
  if (!permit.ok()) return permit.status();
  auto window = std::make_shared<UcxWindow>(bytes);
  std::string id = table_.Add(*std::move(permit), window);
  MutexLock lock(mutex_);
  unclaimed_[id] = {std::move(window), std::string(owner), clock_.Now() + kClaimTimeout};
  return id;
}

transport::UcxWorker::Verdict UcxListener::Claim(const std::shared_ptr<transport::UcxPeer>& peer,
                                                 const transport::UcxHello& hello) {
  const std::string_view id(hello.window_id.data(), hello.window_id.size());
  std::shared_ptr<UcxWindow> window;
  std::string owner;
  {
    MutexLock lock(mutex_);
    const auto found = unclaimed_.find(id);
    if (found != unclaimed_.end()) {
      window = std::move(found->second.window);
      owner = std::move(found->second.owner);
      unclaimed_.erase(found);
    }
  }
  if (window == nullptr || !window->Bind(peer)) {
    return {InvalidField("window_id", "unknown", "an id of OpenWindow"), {}};
  }
  std::shared_ptr<WindowCalls> calls;
  if (open_calls_) {
    calls =
        open_calls_(std::move(owner), [peer](std::string text) { peer->Tell(std::move(text)); });
  }
  return {absl::OkStatus(),
          [this, calls, id = std::string(id)] {
            if (calls != nullptr) calls->End();
            table_.Drop(id);
          },
          [calls](std::string_view text) { return calls != nullptr && calls->Take(text); }};
}

void UcxListener::DropUnclaimed() {
  std::vector<std::string> late;
  {
    MutexLock lock(mutex_);
    const TimePoint now = clock_.Now();
    std::erase_if(unclaimed_, [&](const auto& entry) {
      if (entry.second.until > now) return false;
      late.push_back(entry.first);
      return true;
    });
  }
  for (const std::string& id : late) table_.Drop(id);
}

}  // namespace larder::server
