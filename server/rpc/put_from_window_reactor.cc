#include "server/rpc/put_from_window_reactor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "server/rpc/call_client.h"
#include "server/rpc/call_deadline.h"
#include "server/rpc/put_opening.h"
#include "server/rpc/window_ranges.h"

namespace larder::server {

PutFromWindowReactor::PutFromWindowReactor(Backend& backend, grpc::CallbackServerContext* context,
                                           const v1::PutFromWindowRequest& request,
                                           v1::PutFromWindowResponse* response)
    : backend_(backend),
      context_(context),
      response_(response),
      meter_(backend.metrics, Method::kPutFromWindow, backend.clock),
      ticket_(backend.gate, StreamKind::kPut, context) {
  if (backend_.store.draining()) {
    End(Draining());
    return;
  }
  if (!ticket_.refusal().ok()) {
    End(ticket_.refusal());
    return;
  }
  if (const absl::Status status = Accept(request); !status.ok()) {
    End(status);
    return;
  }
  ingest_->Start([this](const absl::Status& status, const std::vector<IngestResult>& results) {
    for (const IngestResult& result : results) FillResult(result, response_->add_results());
    End(status);
  });
}

absl::Status PutFromWindowReactor::Accept(const v1::PutFromWindowRequest& request) {
  auto window = backend_.windows.Find(request.window_id(), ClientOf(*context_));
  if (!window.ok()) return window.status();
  if (request.blocks_size() != static_cast<int>(request.open().blocks())) {
    return InvalidField("blocks", absl::StrCat(request.blocks_size()),
                        absl::StrCat("open.blocks, ", request.open().blocks()));
  }
  WindowIngest::Request ingest;
  ingest.tag = request.tag();
  ingest.deadline = DeadlineOf(*context_, backend_.clock);
  ingest.on_progress = [this] { ticket_.Touch(); };
  ingest.blocks.reserve(request.blocks_size());
  for (const v1::WindowPutBlock& wire : request.blocks()) {
    if (absl::Status status = CheckRange(wire.payload(), **window, "blocks.payload");
        !status.ok()) {
      return status;
    }
    const auto retention = RetentionFromWire(wire.retention());
    if (!retention.ok()) return retention.status();
    const auto header = std::as_bytes(std::span(wire.frame_header()));
    ingest.blocks.push_back({{header.begin(), header.end()},
                             wire.payload().offset(),
                             wire.payload().bytes(),
                             *retention});
  }
  auto session = OpenPut(backend_, request.open());
  if (!session.ok()) return session.status();
  ingest_ =
      WindowIngest::Create({backend_.transport, backend_.metrics}, *std::move(window),
                           std::make_unique<IngestSession>(*std::move(session)), std::move(ingest));
  return absl::OkStatus();
}

void PutFromWindowReactor::OnCancel() {
  if (ingest_ != nullptr) ingest_->Cancel();
}

void PutFromWindowReactor::End(const absl::Status& status) {
  Finish(meter_.Done(ToGrpcStatus(status)));
}

}  // namespace larder::server
