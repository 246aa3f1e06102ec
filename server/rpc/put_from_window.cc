#include "server/rpc/put_from_window.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "server/rpc/put_opening.h"
#include "server/rpc/window_ranges.h"

namespace larder::server {

PutFromWindow::PutFromWindow(Backend& backend, CallOrigin origin)
    : backend_(backend),
      origin_(std::move(origin)),
      meter_(backend.metrics, Method::kPutFromWindow, backend.clock),
      ticket_(
          backend.gate, StreamKind::kPut, origin_.client, [this] { Cancel(); }, origin_.deadline) {}

void PutFromWindow::Start(const v1::PutFromWindowRequest& request, Blocks blocks,
                          v1::PutFromWindowResponse* response, CallDone done) {
  response_ = response;
  done_ = std::move(done);
  if (const absl::Status status = Accept(request, blocks); !status.ok()) {
    End(status);
    return;
  }
  ingest()->Start([self = shared_from_this()](const absl::Status& status,
                                              const std::vector<IngestResult>& results) {
    for (const IngestResult& result : results) {
      FillResult(result, self->response_->add_results());
    }
    self->End(status);
  });
}

absl::Status PutFromWindow::Accept(const v1::PutFromWindowRequest& request, Blocks blocks) {
  if (backend_.store.draining()) return Draining();
  if (!ticket_.refusal().ok()) return ticket_.refusal();
  auto window = backend_.windows.Find(request.window_id(), origin_.client);
  if (!window.ok()) return window.status();
  window_ = *std::move(window);
  if (blocks == Blocks::kAll &&
      request.blocks_size() != static_cast<int>(request.open().blocks())) {
    return InvalidField("blocks", absl::StrCat(request.blocks_size()),
                        absl::StrCat("open.blocks, ", request.open().blocks()));
  }
  WindowIngest::Request ingest;
  ingest.tag = request.tag();
  ingest.deadline = origin_.deadline;
  ingest.on_progress = [this] { ticket_.Touch(); };
  auto first = BlocksOf(request.blocks());
  if (!first.ok()) return first.status();
  ingest.blocks = *std::move(first);
  auto session = OpenPut(backend_, request.open());
  if (!session.ok()) return session.status();
  MutexLock lock(mutex_);
  ingest_ =
      WindowIngest::Create({backend_.transport, backend_.metrics}, window_,
                           std::make_unique<IngestSession>(*std::move(session)), std::move(ingest));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WindowIngest::Block>> PutFromWindow::BlocksOf(
    const WireBlocks& wire) const {
  std::vector<WindowIngest::Block> blocks;
  blocks.reserve(wire.size());
  for (const v1::WindowPutBlock& block : wire) {
    if (absl::Status status = CheckRange(block.payload(), *window_, "blocks.payload");
        !status.ok()) {
      return status;
    }
    const auto retention = RetentionFromWire(block.retention());
    if (!retention.ok()) return retention.status();
    const auto header = std::as_bytes(std::span(block.frame_header()));
    blocks.push_back({{header.begin(), header.end()},
                      block.payload().offset(),
                      block.payload().bytes(),
                      *retention});
  }
  return blocks;
}

void PutFromWindow::Add(const v1::WindowPutMore& more) {
  const auto ingest = this->ingest();
  if (ingest == nullptr) return;  // answered already
  auto blocks = BlocksOf(more.blocks());
  if (blocks.ok()) {
    ingest->Add(*std::move(blocks));
  } else {
    ingest->Refuse(blocks.status());
  }
}

void PutFromWindow::Cancel() {
  if (const auto ingest = this->ingest()) ingest->Cancel();
}

void PutFromWindow::End(const absl::Status& status) {
  std::exchange(done_, nullptr)(meter_.Done(ToGrpcStatus(status)));
}

}  // namespace larder::server
