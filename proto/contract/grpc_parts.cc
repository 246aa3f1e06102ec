#include "proto/contract/grpc_parts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <string>
#include <utility>

#include "proto/contract/errors.h"

namespace larder {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// One reader serves both messages: `parts` has the same number in each, `open` exists in PutRequest
// only.
static_assert(v1::PutRequest::kOpenFieldNumber == 1 && v1::PutRequest::kPartsFieldNumber == 2);
static_assert(v1::GetResponse::kPartsFieldNumber == 2);

constexpr uint32_t TagOf(int field, WireFormatLite::WireType type) {
  return WireFormatLite::MakeTag(field, type);
}
constexpr uint32_t kOpenTag =
    TagOf(v1::PutRequest::kOpenFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kPartsTag =
    TagOf(v1::PutRequest::kPartsFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kPayloadTag =
    TagOf(v1::BlockPart::kPayloadFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

// A head and its small fields are a few dozen bytes; more is not ours.
constexpr uint32_t kHeadBytesMax = 256;

absl::Status Malformed() {
  return BrokenStream("bytes that are not a payload message",
                      "a PutRequest or GetResponse as cache.proto defines them");
}

std::string TagAndSize(uint32_t tag, uint64_t size) {
  uint8_t bytes[2 * 5];  // two varints of 32 bits
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(tag, bytes);
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
  return {bytes, end};
}

template <typename Message>
absl::Status ReadSmall(CodedInputStream& in, Message* message) {
  uint32_t size = 0;
  std::string bytes;
  if (!in.ReadVarint32(&size) || size > kHeadBytesMax ||
      !in.ReadString(&bytes, static_cast<int>(size)) || !message->ParseFromString(bytes)) {
    return Malformed();
  }
  return absl::OkStatus();
}

absl::Status ReadPayload(CodedInputStream& in, const PartHead& head, int size, PartReader& reader) {
  while (size > 0) {
    const void* memory = nullptr;
    int available = 0;
    if (!in.GetDirectBufferPointer(&memory, &available)) return Malformed();
    const int step = std::min(available, size);
    const auto status =
        reader.OnPayload(head, {static_cast<const std::byte*>(memory), static_cast<size_t>(step)});
    if (!status.ok()) return status;
    if (!in.Skip(step)) return Malformed();
    size -= step;
  }
  return absl::OkStatus();
}

// Everything of a part before its payload is small: parse it with Protobuf, then hand the payload
// out in place.
absl::Status ReadPart(CodedInputStream& in, PartReader& reader) {
  int size = 0;
  if (!in.ReadVarintSizeAsInt(&size)) return Malformed();
  const int64_t end = int64_t{in.CurrentPosition()} + size;
  std::string head_bytes;
  int payload_bytes = 0;
  {
    google::protobuf::io::StringOutputStream head_stream(&head_bytes);
    CodedOutputStream head_out(&head_stream);
    while (in.CurrentPosition() < end) {
      if (head_out.ByteCount() > static_cast<int>(kHeadBytesMax)) return Malformed();
      const uint32_t tag = in.ReadTag();
      if (tag == kPayloadTag) {
        if (!in.ReadVarintSizeAsInt(&payload_bytes)) return Malformed();
        if (payload_bytes != end - in.CurrentPosition()) return Malformed();  // payload comes last
        break;
      }
      const auto before = in.PushLimit(static_cast<int>(end - in.CurrentPosition()));
      const bool copied = tag != 0 && WireFormatLite::SkipField(&in, tag, &head_out);
      in.PopLimit(before);
      if (!copied) return Malformed();
    }
  }
  if (in.CurrentPosition() + payload_bytes != end) return Malformed();
  v1::BlockPart part;
  if (head_bytes.size() > kHeadBytesMax || !part.ParseFromString(head_bytes)) return Malformed();
  PartHead head{part.index(), part.frame_bytes(), part.outcome(), part.miss_reason(), std::nullopt};
  if (part.has_retention()) head.retention = part.retention();
  if (const auto status = reader.OnPart(head); !status.ok()) return status;
  return ReadPayload(in, head, payload_bytes, reader);
}

}  // namespace

absl::Status ReadParts(grpc::ByteBuffer* message, PartReader& reader) {
  grpc::ProtoBufferReader stream(message);
  if (!stream.status().ok()) return Malformed();
  CodedInputStream in(&stream);
  for (;;) {
    const uint32_t tag = in.ReadTag();
    if (tag == 0) return in.ConsumedEntireMessage() ? absl::OkStatus() : Malformed();
    if (tag == kOpenTag) {
      v1::PutOpen open;
      if (const auto status = ReadSmall(in, &open); !status.ok()) return status;
      if (const auto status = reader.OnOpen(open); !status.ok()) return status;
    } else if (tag == kPartsTag) {
      if (const auto status = ReadPart(in, reader); !status.ok()) return status;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return Malformed();
    }
  }
}

void PartsWriter::SetOpen(const v1::PutOpen& open) {
  v1::PutRequest message;
  *message.mutable_open() = open;
  slices_.emplace_back(message.SerializeAsString());
}

void PartsWriter::AddPart(const PartHead& head, std::vector<grpc::Slice> payload) {
  v1::BlockPart part;
  part.set_index(head.index);
  part.set_frame_bytes(head.frame_bytes);
  part.set_outcome(head.outcome);
  part.set_miss_reason(head.miss_reason);
  if (head.retention) *part.mutable_retention() = *head.retention;
  uint64_t payload_size = 0;
  for (const grpc::Slice& slice : payload) payload_size += slice.size();

  // tag(parts) size { head fields, tag(payload) size payload }
  std::string fields = part.SerializeAsString();
  if (payload_size > 0) fields += TagAndSize(kPayloadTag, payload_size);
  slices_.emplace_back(TagAndSize(kPartsTag, fields.size() + payload_size) + fields);
  for (grpc::Slice& slice : payload) slices_.push_back(std::move(slice));
  payload_bytes_ += payload_size;
}

grpc::ByteBuffer PartsWriter::Take() {
  grpc::ByteBuffer message(slices_.data(), slices_.size());
  slices_.clear();
  payload_bytes_ = 0;
  return message;
}

grpc::Slice SliceOver(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  auto* held = new std::shared_ptr<const void>(std::move(owner));
  return grpc::Slice(
      const_cast<std::byte*>(bytes.data()), bytes.size(),
      [](void* data) { delete static_cast<std::shared_ptr<const void>*>(data); }, held);
}

}  // namespace larder
