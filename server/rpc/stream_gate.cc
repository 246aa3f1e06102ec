#include "server/rpc/stream_gate.h"

namespace larder::server {

StreamGate::Ticket::Ticket(StreamGate& gate, StreamKind kind, grpc::CallbackServerContext* context)
    : gate_(gate), kind_(kind), context_(context), last_progress_(gate.clock_.Now()) {
  MutexLock lock(gate_.mutex_);
  if (gate_.tickets_.size() >= gate_.streams_max_) return;
  admitted_ = true;
  place_ = gate_.tickets_.insert(gate_.tickets_.end(), this);
  gate_.open_[static_cast<int>(kind_)].fetch_add(1, std::memory_order_relaxed);
}

StreamGate::Ticket::~Ticket() {
  if (!admitted_) return;
  MutexLock lock(gate_.mutex_);
  gate_.tickets_.erase(place_);
  gate_.open_[static_cast<int>(kind_)].fetch_sub(1, std::memory_order_relaxed);
}

void StreamGate::CancelIdle() {
  const TimePoint now = clock_.Now();
  // Under the lock, so that no ticket's context dies meanwhile; TryCancel only posts.
  MutexLock lock(mutex_);
  for (Ticket* ticket : tickets_) {
    if (now - ticket->last_progress_.load(std::memory_order_relaxed) < idle_timeout_) continue;
    ticket->context_->TryCancel();
  }
}

}  // namespace larder::server
