// Every preset through a real server and client: what comes back is what the plan's decoder makes of
// what was put, and a reader that asks for more fidelity gets a miss.
#include <cstring>
#include <random>

#include "client/client.h"
#include "gtest/gtest.h"
#include "kernels/codec/block_coder.h"
#include "kernels/codec/number_formats.h"
#include "larder/v1/cache.pb.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/convert.h"
#include "server/server.h"

namespace larder {
namespace {

constexpr uint32_t kTokens = 64;

Manifest AttentionManifest(AxisOrder order) {
  Manifest manifest;
  manifest.model = "round-trip";
  manifest.weights_digest = "w";
  manifest.dtype = Dtype::kBf16;
  manifest.axis_order = order;
  manifest.block_tokens = kTokens;
  manifest.rope = {.pairing = RopePairing::kHalf, .theta = 500'000, .rotary_dim = 128};
  manifest.hash_scheme.name = "test";
  manifest.groups.push_back({.name = "full",
                             .kind = GroupKind::kAttention,
                             .layers = 6,
                             .kv_heads = 2,
                             .head_dim_k = 128,
                             .head_dim_v = 128});
  return manifest;
}

std::shared_ptr<std::byte> GaussianRaw(uint64_t seed, size_t bytes) {
  std::shared_ptr<std::byte> raw(new std::byte[bytes], std::default_delete<std::byte[]>());
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < bytes; i += 2) {
    const uint16_t element = Bf16OfFloat(normal(random));
    std::memcpy(raw.get() + i, &element, 2);
  }
  return raw;
}

class CodecRoundTripTest : public testing::TestWithParam<AxisOrder> {
 protected:
  void SetUp() override {
    server::Config config;
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{128} << 20;
    config.codec_fidelity_min = Fidelity::kCompact;
    server = server::Server::Start(config).value();
    client = Client::Connect({.address = server->listen()}).value();
    space = client->Register(ManifestToWire(AttentionManifest(GetParam())), "default").value()[0];
    raw_bytes = RawBytes(space.shape).value();
  }

  std::unique_ptr<server::Server> server;
  std::unique_ptr<Client> client;
  Space space;
  uint64_t raw_bytes = 0;
};

TEST_P(CodecRoundTripTest, EveryPresetReturnsWhatItsDecoderMakes) {
  std::vector<std::string> plans = {"", "raw"};
  for (const PresetRow& row : Presets()) plans.emplace_back(row.name);
  uint64_t number = 1;
  for (const std::string& plan : plans) {
    for (const uint64_t token_begin : {uint64_t{0}, uint64_t{kTokens} * 7}) {
      PutBlock block;
      block.hash.size = 8;
      std::memcpy(block.hash.bytes.data(), &number, 8);
      block.token_begin = token_begin;
      block.raw = GaussianRaw(number++, raw_bytes);
      block.raw_bytes = raw_bytes;
      PutOptions put;
      put.codec = plan;
      const auto stored = client->Put(space, {&block, 1}, put);
      ASSERT_TRUE(stored.ok()) << plan << ": " << stored.status();
      ASSERT_EQ(stored->front().outcome, PutOutcome::kStored) << plan << stored->front().message;

      std::vector<std::byte> memory(raw_bytes);
      const GetBlock wanted{block.hash, memory};
      GetOptions get;
      get.keep_frame_header = true;
      const auto got = client->Get(space, {&wanted, 1}, get);
      ASSERT_TRUE(got.ok()) << got.status();
      const GetResult& result = got->front();
      ASSERT_TRUE(result.hit) << plan;
      EXPECT_EQ(result.frame_bytes, stored->front().frame_bytes);
      FrameView view;
      ASSERT_EQ(FrameView::Parse(result.frame_header, &view), FrameFault::kNone);
      BlockCoder coder(Isa::kScalar);  // the oracle
      const auto frame = coder.EncodeLike(view, {block.raw.get(), raw_bytes}).frame;
      ASSERT_EQ(frame.size(), result.frame_bytes) << plan;
      EXPECT_TRUE(std::equal(result.frame_header.begin(), result.frame_header.end(), frame.begin()))
          << plan;
      std::vector<std::byte> decoded(raw_bytes);
      ASSERT_TRUE(DecodeFrame(coder, view, frame, decoded)) << plan;
      EXPECT_EQ(decoded, memory) << plan;

      get.fidelity_min = Fidelity::kExact;
      const auto exact = client->Get(space, {&wanted, 1}, get);
      ASSERT_TRUE(exact.ok());
      EXPECT_EQ(exact->front().hit, result.fidelity == Fidelity::kExact) << plan;
      if (!exact->front().hit) {
        EXPECT_EQ(exact->front().miss_reason, MissReason::kFidelity);
      }
    }
  }
}

TEST_P(CodecRoundTripTest, TheClientEncodesToTheServersBytes) {
  uint64_t number = 1'000;
  for (const char* plan : {"fp8", "balanced", "compact", "lossless", "q8q4"}) {
    for (const uint64_t token_begin : {uint64_t{0}, uint64_t{kTokens} * 7}) {
      std::vector<std::vector<std::byte>> headers, blocks;
      const auto raw = GaussianRaw(number, raw_bytes);
      for (const EncodeAt at : {EncodeAt::kServer, EncodeAt::kClient}) {
        PutBlock block;
        block.hash.size = 8;
        std::memcpy(block.hash.bytes.data(), &++number, 8);
        block.token_begin = token_begin;
        block.raw = raw;
        block.raw_bytes = raw_bytes;
        PutOptions put;
        put.codec = plan;
        put.encode_at = at;
        const auto stored = client->Put(space, {&block, 1}, put);
        ASSERT_TRUE(stored.ok()) << stored.status();
        ASSERT_EQ(stored->front().outcome, PutOutcome::kStored) << stored->front().message;
        // Whoever encodes, it is the same block.
        put.encode_at = at == EncodeAt::kServer ? EncodeAt::kClient : EncodeAt::kServer;
        EXPECT_EQ(client->Put(space, {&block, 1}, put)->front().outcome,
                  PutOutcome::kAlreadyPresent);
        blocks.emplace_back(raw_bytes);
        const GetBlock wanted{block.hash, blocks.back()};
        GetOptions get;
        get.keep_frame_header = true;
        const auto got = client->Get(space, {&wanted, 1}, get);
        ASSERT_TRUE(got.ok() && got->front().hit) << plan;
        headers.push_back(got->front().frame_header);
      }
      EXPECT_EQ(blocks[0], blocks[1]) << plan;
      FrameView views[2];
      ASSERT_EQ(FrameView::Parse(headers[0], &views[0]), FrameFault::kNone);
      ASSERT_EQ(FrameView::Parse(headers[1], &views[1]), FrameFault::kNone);
      ASSERT_EQ(views[0].streams().size(), views[1].streams().size());
      for (size_t i = 0; i < views[0].streams().size(); ++i) {
        EXPECT_EQ(std::memcmp(&views[0].streams()[i], &views[1].streams()[i], sizeof(StreamEntry)),
                  0)
            << plan << " stream " << i;  // its codec, its size and its checksum
      }
    }
  }
}

TEST_P(CodecRoundTripTest, TheClientEncodesByAPlanThatItKnows) {
  PutBlock block;
  block.hash.size = 1;
  block.raw = GaussianRaw(1, raw_bytes);
  block.raw_bytes = raw_bytes;
  PutOptions put;
  put.encode_at = EncodeAt::kClient;
  for (const char* plan : {"", "fp9"}) {
    put.codec = plan;
    EXPECT_EQ(client->Put(space, {&block, 1}, put).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(CodecRoundTripTest, APlanThatIsUnknownOrBelowTheFloorIsATypedError) {
  PutBlock block;
  block.hash.size = 1;
  block.raw = GaussianRaw(1, raw_bytes);
  block.raw_bytes = raw_bytes;
  PutOptions put;
  put.codec = "fp9";
  EXPECT_EQ(client->Put(space, {&block, 1}, put).status().code(),
            absl::StatusCode::kInvalidArgument);
  server::Config config;
  config.listen = config.metrics_listen = "127.0.0.1:0";
  config.dram_bytes = uint64_t{32} << 20;
  const auto strict = server::Server::Start(config).value();
  const auto other = Client::Connect({.address = strict->listen()}).value();
  const Space there =
      other->Register(ManifestToWire(AttentionManifest(GetParam())), "default").value()[0];
  put.codec = "balanced";
  EXPECT_EQ(other->Put(there, {&block, 1}, put).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(CodecRoundTripTest, CapabilitiesNameTheCodecs) {
  const auto capabilities = client->Capabilities();
  ASSERT_TRUE(capabilities.ok());
  std::vector<std::string> names;
  for (const auto& codec : capabilities->codecs()) names.push_back(codec.name());
  EXPECT_NE(std::find(names.begin(), names.end(), "fp8"), names.end());
  EXPECT_NE(std::find(names.begin(), names.end(), "raw"), names.end());
}

INSTANTIATE_TEST_SUITE_P(AxisOrders, CodecRoundTripTest,
                         testing::Values(AxisOrder::kNhd, AxisOrder::kHnd), [](const auto& info) {
                           return std::string(info.param == AxisOrder::kNhd ? "nhd" : "hnd");
                         });

}  // namespace
}  // namespace larder
