#include "server/rpc/get_reactor.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "larder/v1/cache.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"

namespace larder::server {
namespace {

// The answer must still cross the wire: what is not begun this long before the deadline is answered
// as a miss.
constexpr auto kAnswerMargin = std::chrono::milliseconds(2);

// Parts of small frames cost a few dozen bytes of framing each, so the number per message is
// bounded too.
constexpr int kPartsPerMessageMax = 1024;

}  // namespace

GetReactor::GetReactor(Backend& backend, grpc::CallbackServerContext* context,
                       const grpc::ByteBuffer* request)
    : backend_(backend),
      context_(context),
      meter_(backend.metrics, Method::kGet, backend.clock),
      ticket_(backend.gate, StreamKind::kGet, context) {
  if (!ticket_.admitted()) {
    End(OverLimit("open streams of the server", backend_.gate.streams_max(),
                  backend_.gate.streams_max()));
    return;
  }
  if (const absl::Status status = Accept(*request); !status.ok()) {
    End(status);
    return;
  }
  WriteNext();
}

absl::Status GetReactor::Accept(const grpc::ByteBuffer& request) {
  v1::GetRequest wire;
  std::vector<grpc::Slice> slices;
  if (!request.Dump(&slices).ok()) return BrokenStream("an unreadable request", "GetRequest");
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (!wire.ParseFromString(bytes))
    return BrokenStream("bytes that are not a GetRequest", "GetRequest");
  auto hashes = HashesFromWire(wire.prefix_hashes(), kGetBlocksMax, "prefix_hashes");
  if (!hashes.ok()) return hashes.status();
  hashes_ = *std::move(hashes);
  const auto fidelity = FidelityFromWire(wire.fidelity_min());
  if (!fidelity.ok()) return fidelity.status();
  options_ = {*fidelity, wire.verify_at_server()};
  const auto space = backend_.store.spaces().Find(wire.space_id());
  if (!space.ok()) return space.status();
  space_ = *space;
  if (wire.lease_id().empty()) return absl::OkStatus();
  const auto lease = LeaseIdFromWire(wire.lease_id());
  if (!lease.ok()) return lease.status();
  return backend_.store.leases().CheckLive(*lease);
}

void GetReactor::WriteNext() {
  PartsWriter message;
  for (int parts = 0; next_ < hashes_.size() && message.payload_bytes() < kWireChunkBytes &&
                      parts < kPartsPerMessageMax;
       ++parts) {
    if (sending_.frame == nullptr) {
      if (backend_.store.draining() || OverDeadline()) {
        const MissReason reason =
            backend_.store.draining() ? MissReason::kDraining : MissReason::kOverDeadline;
        backend_.store.fetch().CountMiss(reason);
        AddMiss(message, reason);
        continue;
      }
      auto found = backend_.store.fetch().Run(*space_, hashes_[next_], options_);
      if (const auto* reason = std::get_if<MissReason>(&found)) {
        AddMiss(message, *reason);
        continue;
      }
      sending_ = {std::make_shared<const PinnedFrame>(std::get<PinnedFrame>(std::move(found)))};
    }
    AddChunk(message);
  }
  if (message.empty()) {
    End(absl::OkStatus());
    return;
  }
  message_ = message.Take();
  StartWrite(&message_);
}

void GetReactor::AddMiss(PartsWriter& message, MissReason reason) {
  PartHead head;
  head.index = next_++;
  head.outcome = v1::GET_OUTCOME_MISS;
  head.miss_reason = static_cast<v1::MissReason>(reason);
  message.AddPart(head, {});
}

// As much of the current frame as the message may still take.
void GetReactor::AddChunk(PartsWriter& message) {
  const PinnedFrame& frame = *sending_.frame;
  PartHead head;
  head.index = next_;
  if (sending_.sent == 0) {
    head.outcome = v1::GET_OUTCOME_HIT;
    head.frame_bytes = frame.residency.frame_bytes;
  }
  std::vector<grpc::Slice> slices;
  uint64_t room = kWireChunkBytes - message.payload_bytes();
  while (room > 0 && sending_.span < frame.spans.size()) {
    const auto rest = frame.spans[sending_.span].subspan(sending_.span_used);
    const size_t step = std::min<uint64_t>(room, rest.size());
    slices.push_back(SliceOver(rest.first(step), sending_.frame));
    room -= step;
    sending_.sent += step;
    sending_.span_used += step;
    if (step == rest.size()) {
      ++sending_.span;
      sending_.span_used = 0;
    }
  }
  message.AddPart(head, std::move(slices));
  if (sending_.span == frame.spans.size()) {
    sending_ = {};
    ++next_;
  }
}

bool GetReactor::OverDeadline() const {
  return context_->deadline() < std::chrono::system_clock::now() + kAnswerMargin;
}

void GetReactor::OnWriteDone(bool ok) {
  message_.Clear();
  if (!ok) {
    End(absl::CancelledError("the client ended the call"));
    return;
  }
  ticket_.Touch();
  WriteNext();
}

void GetReactor::End(const absl::Status& status) {
  sending_ = {};
  Finish(meter_.Done(ToGrpcStatus(status)));
}

}  // namespace larder::server
