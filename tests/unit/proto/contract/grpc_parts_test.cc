#include "proto/contract/grpc_parts.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace larder {
namespace {

// What a reader was told, flattened.
struct Recorder final : PartReader {
  absl::Status OnOpen(const v1::PutOpen& open) override {
    opens.push_back(open);
    return absl::OkStatus();
  }
  absl::Status OnPart(const PartHead& head) override {
    heads.push_back(head);
    payloads.emplace_back();
    return refuse ? absl::DataLossError("refused") : absl::OkStatus();
  }
  absl::Status OnPayload(const PartHead&, std::span<const std::byte> payload) override {
    payloads.back().append(reinterpret_cast<const char*>(payload.data()), payload.size());
    return absl::OkStatus();
  }
  std::vector<v1::PutOpen> opens;
  std::vector<PartHead> heads;
  std::vector<std::string> payloads;
  bool refuse = false;
};

std::string BytesOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// The same bytes cut into slices at random places, as a transport may deliver them.
grpc::ByteBuffer Cut(const std::string& bytes, std::mt19937_64& random) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t step = std::min<size_t>(1 + random() % 9, bytes.size() - at);
    slices.emplace_back(bytes.substr(at, step));
    at += step;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

grpc::ByteBuffer Sample() {
  PartsWriter writer;
  v1::PutOpen open;
  open.set_space_id(77);
  open.set_blocks(3);
  writer.SetOpen(open);
  v1::Retention retention;
  retention.set_priority(90);
  writer.AddPart({.index = 0, .frame_bytes = 300, .retention = retention},
                 {grpc::Slice(std::string(200, 'a')), grpc::Slice(std::string(100, 'b'))});
  writer.AddPart(
      {.index = 1, .outcome = v1::GET_OUTCOME_MISS, .miss_reason = v1::MISS_REASON_EVICTED}, {});
  writer.AddPart({.index = 2}, {grpc::Slice("x")});
  return writer.Take();
}

TEST(GrpcPartsTest, OnTheWireItIsTheProtobufMessage) {
  v1::PutRequest request;
  ASSERT_TRUE(request.ParseFromString(BytesOf(Sample())));
  EXPECT_EQ(request.open().space_id(), 77u);
  ASSERT_EQ(request.parts_size(), 3);
  EXPECT_EQ(request.parts(0).payload(), std::string(200, 'a') + std::string(100, 'b'));
  EXPECT_EQ(request.parts(0).retention().priority(), 90u);
  EXPECT_EQ(request.parts(1).miss_reason(), v1::MISS_REASON_EVICTED);
  EXPECT_EQ(request.parts(2).payload(), "x");
}

TEST(GrpcPartsTest, ReadsWhatAGeneratedClientWrites) {
  v1::PutRequest request;
  ASSERT_TRUE(request.ParseFromString(BytesOf(Sample())));
  std::mt19937_64 random(4);
  for (int trial = 0; trial < 200; ++trial) {
    grpc::ByteBuffer message = Cut(request.SerializeAsString(), random);
    Recorder reader;
    ASSERT_TRUE(ReadParts(&message, reader).ok());
    ASSERT_EQ(reader.opens.size(), 1u);
    EXPECT_EQ(reader.opens[0].blocks(), 3u);
    ASSERT_EQ(reader.heads.size(), 3u);
    EXPECT_EQ(reader.heads[0].frame_bytes, 300u);
    EXPECT_EQ(reader.heads[0].retention->priority(), 90u);
    EXPECT_EQ(reader.heads[1].outcome, v1::GET_OUTCOME_MISS);
    EXPECT_EQ(reader.payloads[0], std::string(200, 'a') + std::string(100, 'b'));
    EXPECT_EQ(reader.payloads[2], "x");
  }
}

TEST(GrpcPartsTest, UnknownFieldsOfANewerPeerAreSkipped) {
  std::string bytes = BytesOf(Sample());
  v1::Retention other;
  other.set_priority(1);
  bytes += std::string("\xFA\x01", 2) + char(other.ByteSizeLong()) +
           other.SerializeAsString();  // field 31
  std::mt19937_64 random(4);
  grpc::ByteBuffer message = Cut(bytes, random);
  Recorder reader;
  EXPECT_TRUE(ReadParts(&message, reader).ok());
  EXPECT_EQ(reader.heads.size(), 3u);
}

TEST(GrpcPartsTest, EveryTruncationIsATypedErrorOrAShorterMessage) {
  const std::string bytes = BytesOf(Sample());
  std::mt19937_64 random(8);
  int errors = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    grpc::ByteBuffer message = Cut(bytes.substr(0, size), random);
    Recorder reader;
    const absl::Status status = ReadParts(&message, reader);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      ++errors;
    }
  }
  EXPECT_GT(errors,
            static_cast<int>(bytes.size()) - 6);  // only cuts between fields are whole messages
}

TEST(GrpcPartsTest, HostileBytesNeverCrash) {
  const std::string bytes = BytesOf(Sample());
  std::mt19937_64 random(15);
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string damaged = bytes;
    if (trial % 4 == 0) {
      damaged.resize(random() % 60);
      for (char& c : damaged) c = static_cast<char>(random());
    } else {
      for (int flips = 1 + random() % 4; flips > 0; --flips)
        damaged[random() % 60] = static_cast<char>(random());
    }
    if (damaged.empty()) continue;
    grpc::ByteBuffer message = Cut(damaged, random);
    Recorder reader;
    const absl::Status status = ReadParts(&message, reader);
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kInvalidArgument) << status;
    size_t payload = 0;
    for (const std::string& piece : reader.payloads) payload += piece.size();
    EXPECT_LE(payload, damaged.size());
  }
}

TEST(GrpcPartsTest, AReadersRefusalStopsTheReading) {
  grpc::ByteBuffer message = Sample();
  Recorder reader;
  reader.refuse = true;
  EXPECT_EQ(ReadParts(&message, reader).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader.heads.size(), 1u);
}

TEST(GrpcPartsTest, ASliceKeepsItsOwnerAliveUntilItIsGone) {
  auto owner = std::make_shared<const std::string>(100, 'q');
  const std::weak_ptr<const std::string> watch = owner;
  {
    grpc::Slice slice = SliceOver(std::as_bytes(std::span(*owner)), owner);
    owner.reset();
    EXPECT_FALSE(watch.expired());
    EXPECT_EQ(slice.size(), 100u);
  }
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace larder
