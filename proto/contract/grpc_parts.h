// Reads and writes the messages that carry payload (PutRequest, GetResponse) on gRPC's own slices.
// On the wire they are exactly the Protobuf messages of cache.proto, so a generated client of any
// language interoperates; here the payload never becomes a protobuf string: writing references the
// caller's memory, reading hands out spans into the received buffer.
//
// Reading is bound-checked throughout: a message is untrusted input. Field order inside a part is
// free except that `payload` comes last. Thread-compatible.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "larder/v1/cache.pb.h"

namespace larder {

// The small fields of a BlockPart.
struct PartHead {
  uint32_t index = 0;
  uint64_t frame_bytes = 0;  // 0: not the first part of its block
  v1::GetOutcome outcome = v1::GET_OUTCOME_UNSPECIFIED;
  v1::MissReason miss_reason = v1::MISS_REASON_UNSPECIFIED;
  std::optional<v1::Retention> retention;
};

// Receives the fields of one message in wire order. A status other than Ok stops the reading and is
// returned by ReadParts.
class PartReader {
 public:
  virtual ~PartReader() = default;
  virtual absl::Status OnOpen(const v1::PutOpen& open) = 0;  // PutRequest.open
  virtual absl::Status OnPart(const PartHead& head) = 0;
  // Zero or more times after OnPart; the span dies with the message.
  virtual absl::Status OnPayload(const PartHead& head, std::span<const std::byte> payload) = 0;
};

// INVALID_ARGUMENT when the bytes are not such a message.
absl::Status ReadParts(grpc::ByteBuffer* message, PartReader& reader);

// Collects parts into one message.
class PartsWriter {
 public:
  void SetOpen(const v1::PutOpen& open);
  // `payload` is referenced, not copied.
  void AddPart(const PartHead& head, std::vector<grpc::Slice> payload);
  uint64_t payload_bytes() const { return payload_bytes_; }
  bool empty() const { return slices_.empty(); }
  // The message so far; the writer is empty again.
  grpc::ByteBuffer Take();

 private:
  std::vector<grpc::Slice> slices_;
  uint64_t payload_bytes_ = 0;
};

// A slice over memory that `owner` keeps alive until the transport is done with it.
grpc::Slice SliceOver(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

}  // namespace larder
