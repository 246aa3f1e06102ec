#include "server/rpc/put_reactor.h"

#include <string>
#include <utility>
#include <vector>

#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"
#include "server/rpc/call_client.h"
#include "server/rpc/put_opening.h"

namespace larder::server {
namespace {

// What counts as progress within the idle timeout: a writer below this rate (100 KB/s at 10 s)
// would hold its reservation from the others.
constexpr uint64_t kProgressBytes = kWireChunkBytes;

}  // namespace

PutReactor::PutReactor(Backend& backend, grpc::CallbackServerContext* context,
                       grpc::ByteBuffer* response)
    : backend_(backend),
      context_(context),
      response_(response),
      meter_(backend.metrics, Method::kPut, backend.clock),
      ticket_(backend.gate, StreamKind::kPut, ClientOf(*context),
              [context] { context->TryCancel(); }) {
  if (backend_.store.draining()) {
    End(Draining());
  } else if (!ticket_.refusal().ok()) {
    End(ticket_.refusal());
  } else {
    StartRead(&message_);
  }
}

void PutReactor::OnReadDone(bool ok) {
  if (!ok) {
    // The client has sent everything, or is gone: then the session takes what was not whole with
    // it.
    if (context_->IsCancelled()) {
      End(absl::CancelledError("the client ended the call"));
    } else if (!session_) {
      End(BrokenStream("a stream that ends before PutRequest.open", "open in the first message"));
    } else {
      FinishWithResults();
    }
    return;
  }
  const absl::Status status = ReadParts(&message_, *this);
  message_.Clear();
  if (!status.ok()) {
    End(status);
    return;
  }
  StartRead(&message_);
}

absl::Status PutReactor::OnOpen(const v1::PutOpen& open) {
  if (session_) return BrokenStream("a second PutRequest.open", "one, in the first message");
  auto session = OpenPut(backend_, open);
  if (!session.ok()) return session.status();
  session_.emplace(*std::move(session));
  return absl::OkStatus();
}

absl::Status PutReactor::OnPart(const PartHead& head) {
  if (!session_) return BrokenStream("a part before PutRequest.open", "open in the first message");
  if (head.frame_bytes == 0) return absl::OkStatus();
  const auto retention = RetentionFromWire(head.retention.value_or(v1::Retention()));
  if (!retention.ok()) return retention.status();
  frame_bytes_ = head.frame_bytes;
  return session_->Begin(head.index, head.frame_bytes, *retention);
}

absl::Status PutReactor::OnPayload(const PartHead& head, std::span<const std::byte> payload) {
  progress_bytes_ += payload.size();
  if (progress_bytes_ >= kProgressBytes) {
    progress_bytes_ = 0;
    ticket_.Touch();
  }
  const absl::Status status = session_->Write(head.index, payload);
  if (status.ok() && session_->missing() == 0) {
    backend_.metrics.CountTransfer(PlaneKind::kInline, TransferEnd::kDone, frame_bytes_);
  }
  return status;
}

void PutReactor::FinishWithResults() {
  // No operation of the stream is pending, so gRPC keeps this until End, whatever thread that is on.
  session_->Finish([this](std::vector<IngestResult> results) {
    v1::PutResponse response;
    for (const IngestResult& result : results) FillResult(result, response.add_results());
    const grpc::Slice bytes(response.SerializeAsString());
    *response_ = grpc::ByteBuffer(&bytes, 1);
    End(absl::OkStatus());
  });
}

void PutReactor::End(const absl::Status& status) {
  session_.reset();
  Finish(meter_.Done(ToGrpcStatus(status)));
}

}  // namespace larder::server
