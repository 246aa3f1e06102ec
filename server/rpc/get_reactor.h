// One Get stream: asks its FetchSession for frame after frame and writes them in place, up to
// kWireChunkBytes of payload per message.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "proto/contract/grpc_parts.h"
#include "server/rpc/backend.h"
#include "server/rpc/call_meter.h"

namespace larder::server {

// Owns itself: deleted by gRPC's OnDone. Reactions of one stream never overlap: either a write is
// pending, or an answer is awaited, or neither. While an answer is awaited nothing is pending at
// gRPC, which then keeps this until End.
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
  bool AnswerNext();
  void Take(FetchAnswer answer);
  void AddMiss(MissReason reason);
  void AddChunk();
  void End(const absl::Status& status);

  Backend& backend_;
  grpc::CallbackServerContext* const context_;
  const CallMeter meter_;
  StreamGate::Ticket ticket_;
  std::optional<FetchSession> session_;
  // Who goes on after FetchSession::Next: the caller, when the answer came before Next returned, or
  // the answer's thread.
  enum class Turn : uint8_t { kAsked, kAnswered, kLeft };
  std::atomic<Turn> turn_{Turn::kAsked};
  uint32_t next_ = 0;  // block being answered
  Sending sending_;
  PartsWriter parts_;  // the message that is being filled
  int parts_count_ = 0;
  grpc::ByteBuffer message_;
};

}  // namespace larder::server
