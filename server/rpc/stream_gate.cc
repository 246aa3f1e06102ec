#include "server/rpc/stream_gate.h"

#include <utility>

#include "proto/contract/errors.h"

namespace larder::server {

StreamGate::Ticket::Ticket(StreamGate& gate, StreamKind kind, std::string client,
                           std::function<void()> cancel, TimePoint until)
    : gate_(gate),
      kind_(kind),
      client_(std::move(client)),
      cancel_(std::move(cancel)),
      until_(until),
      last_progress_(gate.clock_.Now()) {
  MutexLock lock(gate_.mutex_);
  const size_t open = gate_.tickets_.size();
  if (open >= gate_.streams_max_) {
    refusal_ = OverLimit("open streams of the server", open, gate_.streams_max_);
    return;
  }
  uint32_t& of_client = gate_.by_client_[client_];
  if (of_client >= gate_.client_streams_max()) {
    refusal_ = OverLimit("open streams of this client", of_client, gate_.client_streams_max());
    return;
  }
  ++of_client;
  place_ = gate_.tickets_.insert(gate_.tickets_.end(), this);
  gate_.open_[static_cast<int>(kind_)].fetch_add(1, std::memory_order_relaxed);
}

StreamGate::Ticket::~Ticket() {
  if (!refusal_.ok()) return;
  MutexLock lock(gate_.mutex_);
  gate_.tickets_.erase(place_);
  const auto of_client = gate_.by_client_.find(client_);
  if (--of_client->second == 0) gate_.by_client_.erase(of_client);
  gate_.open_[static_cast<int>(kind_)].fetch_sub(1, std::memory_order_relaxed);
}

void StreamGate::CancelIdle() {
  const TimePoint now = clock_.Now();
  // Under the lock, so that no ticket goes meanwhile.
  MutexLock lock(mutex_);
  for (Ticket* ticket : tickets_) {
    const bool idle = now - ticket->last_progress_.load(std::memory_order_relaxed) >= idle_timeout_;
    if (idle || now >= ticket->until_) ticket->cancel_();
  }
}

}  // namespace larder::server
