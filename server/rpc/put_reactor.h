// One Put stream: reads messages, hands their parts to an IngestSession, answers one outcome per
// block.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>

#include "proto/contract/grpc_parts.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone. Reactions of one stream never overlap.
class PutReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer>, private PartReader {
 public:
  PutReactor(Backend& backend, grpc::CallbackServerContext* context, grpc::ByteBuffer* response);

 private:
  void OnReadDone(bool ok) override;
  void OnDone() override { delete this; }

  absl::Status OnOpen(const v1::PutOpen& open) override;
  absl::Status OnPart(const PartHead& head) override;
  absl::Status OnPayload(const PartHead& head, std::span<const std::byte> payload) override;

  void FinishWithResults();
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  grpc::ByteBuffer message_;
  std::optional<IngestSession> session_;
  uint64_t frame_bytes_ = 0;     // of the block that is arriving
  uint64_t progress_bytes_ = 0;  // since the last Touch
};

}  // namespace larder::server
