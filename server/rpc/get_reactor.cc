#include "server/rpc/get_reactor.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "larder/v1/cache.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"
#include "server/rpc/call_client.h"
#include "server/rpc/call_deadline.h"

namespace larder::server {
namespace {

// Parts of small frames cost a few dozen bytes of framing each, so the number per message is
// bounded too.
constexpr int kPartsPerMessageMax = 1024;

}  // namespace

GetReactor::GetReactor(Backend& backend, grpc::CallbackServerContext* context,
                       const grpc::ByteBuffer* request)
    : backend_(backend),
      context_(context),
      meter_(backend.metrics, Method::kGet, backend.clock),
      ticket_(backend.gate, StreamKind::kGet, ClientOf(*context),
              [context] { context->TryCancel(); }) {
  if (!ticket_.refusal().ok()) {
    End(ticket_.refusal());
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
  const auto fidelity = FidelityFromWire(wire.fidelity_min());
  if (!fidelity.ok()) return fidelity.status();
  const auto space = backend_.store.spaces().Find(wire.space_id());
  if (!space.ok()) return space.status();
  session_.emplace(backend_.store.OpenFetch(
      **space, *std::move(hashes),
      {*fidelity, wire.verify_at_server(), DeadlineOf(*context_, backend_.clock)}));
  if (wire.lease_id().empty()) return absl::OkStatus();
  const auto lease = LeaseIdFromWire(wire.lease_id());
  if (!lease.ok()) return lease.status();
  return backend_.store.leases().CheckLive(*lease);
}

// Fills a message and sends it; returns early when the next block must be waited for.
void GetReactor::WriteNext() {
  while (parts_.payload_bytes() < kWireChunkBytes && parts_count_ < kPartsPerMessageMax) {
    if (sending_.frame != nullptr) {
      AddChunk();
    } else if (session_->left() == 0) {
      break;
    } else if (!AnswerNext()) {
      return;
    }
  }
  if (parts_.empty()) {
    End(absl::OkStatus());
    return;
  }
  message_ = parts_.Take();
  parts_count_ = 0;
  StartWrite(&message_);
}

// Whether the answer is here. If not, its thread goes on with WriteNext, and this one must touch
// nothing more.
bool GetReactor::AnswerNext() {
  turn_.store(Turn::kAsked, std::memory_order_relaxed);
  session_->Next([this](FetchAnswer answer) {
    Take(std::move(answer));
    if (turn_.exchange(Turn::kAnswered, std::memory_order_acq_rel) == Turn::kLeft) {
      ticket_.Touch();
      WriteNext();
    }
  });
  return turn_.exchange(Turn::kLeft, std::memory_order_acq_rel) == Turn::kAnswered;
}

void GetReactor::Take(FetchAnswer answer) {
  if (const auto* reason = std::get_if<MissReason>(&answer)) {
    AddMiss(*reason);
  } else {
    sending_ = {std::make_shared<const PinnedFrame>(std::get<PinnedFrame>(std::move(answer)))};
  }
}

void GetReactor::AddMiss(MissReason reason) {
  PartHead head;
  head.index = next_++;
  head.outcome = v1::GET_OUTCOME_MISS;
  head.miss_reason = static_cast<v1::MissReason>(reason);
  parts_.AddPart(head, {});
  ++parts_count_;
}

// As much of the current frame as the message may still take.
void GetReactor::AddChunk() {
  const PinnedFrame& frame = *sending_.frame;
  PartHead head;
  head.index = next_;
  if (sending_.sent == 0) {
    head.outcome = v1::GET_OUTCOME_HIT;
    head.frame_bytes = frame.residency.frame_bytes;
  }
  std::vector<grpc::Slice> slices;
  uint64_t room = kWireChunkBytes - parts_.payload_bytes();
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
  parts_.AddPart(head, std::move(slices));
  ++parts_count_;
  if (sending_.span == frame.spans.size()) {
    backend_.metrics.CountTransfer(PlaneKind::kInline, TransferEnd::kDone, sending_.sent);
    sending_ = {};
    ++next_;
  }
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
