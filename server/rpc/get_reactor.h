// One Get stream: pins frame after frame and writes them in place, up to kWireChunkBytes of payload
// per message.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "proto/contract/grpc_parts.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone. Reactions of one stream never overlap.
class GetReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  GetReactor(Backend& backend, grpc::CallbackServerContext* context,
             const grpc::ByteBuffer* request);

 private:
  // A frame that is on its way out: slices over it keep it pinned until the transport has let go of
  // them.
  struct Sending {
    std::shared_ptr<const PinnedFrame> frame;
    size_t span = 0;
    size_t span_used = 0;
    uint64_t sent = 0;
  };

  absl::Status Accept(const grpc::ByteBuffer& request);
  void OnWriteDone(bool ok) override;
  void OnDone() override { delete this; }

  void WriteNext();
  void AddMiss(PartsWriter& message, MissReason reason);
  void AddChunk(PartsWriter& message);
  bool OverDeadline() const;
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  const SpaceEntry* space_ = nullptr;
  std::vector<PrefixHash> hashes_;
  Fetch::Options options_;
  uint32_t next_ = 0;  // block being answered
  Sending sending_;
  grpc::ByteBuffer message_;
};

}  // namespace larder::server
