// The plane "ucx" of a whole server: windows opened over gRPC, claimed over UCX, and blocks through them.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "kernels/format/frame.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/limits.h"
#include "server/server.h"
#include "tests/integration/known_blocks.h"
#include "transport/ucx_worker.h"

namespace larder {
namespace {

using namespace std::chrono_literals;
using transport::UcxEnd;

constexpr uint32_t kBlocks = 6;
constexpr uint64_t kWindowBytes = 64 << 20;

class UcxPlaneTest : public ::testing::Test {
 protected:
  UcxPlaneTest() {
    server::Config config;
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{128} << 20;
    config.ucx_listen = "127.0.0.1:0";
    server_ = server::Server::Start(config).value();
    client_ = Client::Connect({.address = server_->listen()}).value();
    space_ = client_->Register(testing::KnownManifest("ucx", 2, 40'000), "default").value().front();
    stub_ = v1::Windows::NewStub(
        grpc::CreateChannel(server_->listen(), grpc::InsecureChannelCredentials()));
    const auto capabilities = client_->Capabilities().value();
    address_ = capabilities.ucx_address();
    EXPECT_EQ(std::count(capabilities.planes().begin(), capabilities.planes().end(), "ucx"), 1);
    worker_ = transport::UcxWorker::Start({}).value();
  }

  template <typename Request, typename Response, typename Method>
  grpc::Status Call(Method method, const Request& request, Response& response,
                    const std::string& client = "me") {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    context.AddMetadata("larder-client", client);
    return (stub_.get()->*method)(&context, request, &response);
  }

  std::string Open() {
    v1::OpenWindowRequest request;
    request.set_window_bytes(kWindowBytes);
    v1::OpenWindowResponse response;
    const grpc::Status status = Call(&v1::Windows::Stub::OpenWindow, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.window_id();
  }

  absl::StatusOr<std::shared_ptr<transport::UcxPeer>> Claim(const std::string& id) {
    transport::UcxHello hello;
    std::copy(id.begin(), id.end(), hello.window_id.begin());
    std::promise<absl::StatusOr<std::shared_ptr<transport::UcxPeer>>> connected;
    worker_->Connect(address_, hello, std::chrono::steady_clock::now() + 10s, nullptr,
                     [&](auto peer) { connected.set_value(std::move(peer)); });
    return connected.get_future().get();
  }

  v1::GetToWindowRequest GetRequest(const std::string& id, uint64_t tag, uint64_t block_bytes) {
    v1::GetToWindowRequest request;
    request.set_window_id(id);
    request.set_tag(tag);
    request.mutable_get()->set_space_id(space_.id);
    for (uint32_t i = 0; i < kBlocks; ++i) {
      request.mutable_get()->add_prefix_hashes(std::string(testing::KnownHash(1, i).view()));
      v1::WindowRange* const target = request.add_targets();
      target->set_offset(i * block_bytes);
      target->set_bytes(block_bytes);
    }
    return request;
  }

  // Whether it is the frame of block i, byte for byte.
  static void ExpectFrame(std::span<const std::byte> frame, uint32_t i) {
    FrameView view;
    ASSERT_EQ(FrameView::Parse(frame, &view), FrameFault::kNone);
    FrameVerifier verifier(view);
    EXPECT_EQ(verifier.Update(frame.subspan(view.header().header_bytes)), FrameFault::kNone);
    EXPECT_EQ(verifier.Finish(), FrameFault::kNone);
    const PrefixHash hash = testing::KnownHash(1, i);
    EXPECT_EQ(view.identity().prefix_hash, hash.bytes);
  }

  std::unique_ptr<server::Server> server_;
  std::unique_ptr<Client> client_;
  Space space_;
  std::unique_ptr<v1::Windows::Stub> stub_;
  std::string address_;
  std::unique_ptr<transport::UcxWorker> worker_;
};

TEST_F(UcxPlaneTest, GetsArriveUnderTheirTags) {
  ASSERT_TRUE(client_->Put(space_, testing::KnownChain(space_, 1, kBlocks)).ok());
  const std::string id = Open();
  const auto peer = Claim(id).value();
  const uint64_t block_bytes = AlignFrame(testing::RawBytesOf(space_)) + 4096;
  std::vector<std::vector<std::byte>> memory(kBlocks, std::vector<std::byte>(block_bytes));
  constexpr uint64_t kTag = 0x1234'5678'9abc'0000;
  std::vector<std::promise<UcxEnd>> ends(kBlocks);
  for (uint32_t i = 0; i < kBlocks; ++i) {
    peer->Expect(kTag + i, memory[i].size(), transport::ArriveIn(memory[i]),
                 [&ends, i](UcxEnd end) { ends[i].set_value(end); });
  }
  v1::GetToWindowResponse response;
  const grpc::Status status =
      Call(&v1::Windows::Stub::GetToWindow, GetRequest(id, kTag, block_bytes), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), static_cast<int>(kBlocks));
  for (uint32_t i = 0; i < kBlocks; ++i) {
    ASSERT_EQ(response.results(i).outcome(), v1::GET_OUTCOME_HIT);
    ASSERT_EQ(ends[i].get_future().get(), UcxEnd::kDone);
    ExpectFrame(std::span(memory[i]).first(response.results(i).frame_bytes()), i);
  }
}

TEST_F(UcxPlaneTest, PutsArePulled) {
  const std::string id = Open();
  const auto peer = Claim(id).value();
  const auto blocks = testing::KnownChain(space_, 1, kBlocks);
  constexpr uint64_t kTag = 99'000'000;
  v1::PutFromWindowRequest request;
  request.set_window_id(id);
  request.set_tag(kTag);
  request.mutable_open()->set_space_id(space_.id);
  request.mutable_open()->set_blocks(kBlocks);
  std::vector<std::vector<std::byte>> payloads;
  for (const PutBlock& block : blocks) {
    FrameIdentity identity;
    identity.space_digest = space_.digest;
    identity.manifest_digest = space_.manifest_digest;
    identity.prefix_hash = block.hash.bytes;
    identity.prefix_hash_bytes = block.hash.size;
    identity.parent_hash = block.parent.bytes;
    identity.parent_hash_bytes = block.parent.size;
    identity.token_begin = block.token_begin;
    const std::span<const std::byte> raw(block.raw.get(), block.raw_bytes);
    const auto header = BuildRawFrameHeader(identity, space_.shape, raw);
    std::vector<std::byte>& payload = payloads.emplace_back();
    for (const RawStream& stream : RawStreams(space_.shape)) {
      const auto bytes = raw.subspan(stream.offset, stream.bytes);
      payload.insert(payload.end(), bytes.begin(), bytes.end());
      payload.resize(AlignFrame(payload.size()));
    }
    v1::WindowPutBlock* const put = request.add_blocks();
    put->set_frame_header(reinterpret_cast<const char*>(header.data()), header.size());
    put->mutable_payload()->set_offset(uint64_t{4096} * request.blocks_size());
    put->mutable_payload()->set_bytes(payload.size());
  }
  for (uint32_t i = 0; i < kBlocks; ++i) {
    peer->Offer(kTag + i, request.blocks(i).payload().offset(), {payloads[i]}, [](UcxEnd) {});
  }
  v1::PutFromWindowResponse response;
  const grpc::Status status = Call(&v1::Windows::Stub::PutFromWindow, request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  for (const auto& result : response.results()) {
    EXPECT_EQ(result.outcome(), v1::PUT_OUTCOME_STORED) << result.message();
  }
  for (uint32_t i = 0; i < kBlocks; ++i) peer->Withdraw(kTag + i);
  // Over the other plane, the same bytes.
  for (const PutBlock& block : blocks) {
    std::vector<std::byte> back(block.raw_bytes);
    const GetBlock get{.hash = block.hash, .destination = back};
    const auto got = client_->Get(space_, {&get, 1}).value();
    ASSERT_TRUE(got.front().hit);
    EXPECT_TRUE(testing::IsKnown(block.hash, back));
  }
}

TEST_F(UcxPlaneTest, WindowsBelongToTheirClientAndEndWithTheirConnection) {
  ASSERT_TRUE(client_->Put(space_, testing::KnownChain(space_, 1, kBlocks)).ok());
  EXPECT_FALSE(Claim(std::string(16, 'x')).ok());
  const std::string id = Open();
  const auto peer = Claim(id).value();
  EXPECT_FALSE(Claim(id).ok());  // a window has one connection
  v1::GetToWindowResponse response;
  EXPECT_EQ(Call(&v1::Windows::Stub::GetToWindow, GetRequest(id, 1, 1 << 20), response, "other")
                .error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  peer->Close();
  const auto give_up = std::chrono::steady_clock::now() + 10s;
  grpc::Status status;
  do {
    status = Call(&v1::Windows::Stub::GetToWindow, GetRequest(id, 1, 1 << 20), response);
  } while (status.ok() && std::chrono::steady_clock::now() < give_up);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(UcxPlaneTest, ACallBeyondItsBoundEndsTheConnection) {
  const auto peer = Claim(Open()).value();
  std::promise<UcxEnd> ended;
  peer->Expect(1, 64, nullptr, [&](UcxEnd end) { ended.set_value(end); });
  v1::WindowCall call;
  call.set_number(1);
  // Of no put: by itself it would be ignored.
  call.mutable_more()->add_blocks()->set_frame_header(std::string(kWindowCallBytesMax, 'x'));
  peer->Tell(call.SerializeAsString());
  auto future = ended.get_future();
  EXPECT_EQ(future.wait_for(5s), std::future_status::ready);
  worker_.reset();
}

TEST_F(UcxPlaneTest, AnUnclaimedWindowIsMissesAndThenGone) {
  ASSERT_TRUE(client_->Put(space_, testing::KnownChain(space_, 1, kBlocks)).ok());
  const std::string id = Open();
  v1::GetToWindowResponse response;
  EXPECT_TRUE(Call(&v1::Windows::Stub::GetToWindow, GetRequest(id, 1, 1 << 20), response).ok());
  for (const auto& result : response.results()) {
    EXPECT_NE(result.outcome(), v1::GET_OUTCOME_HIT);
  }
  v1::CloseWindowRequest close;
  close.set_window_id(id);
  v1::CloseWindowResponse closed;
  EXPECT_TRUE(Call(&v1::Windows::Stub::CloseWindow, close, closed).ok());
  EXPECT_TRUE(closed.closed());
  EXPECT_FALSE(Claim(id).ok());
}

}  // namespace
}  // namespace larder
