// A whole server and real clients in one process, over loopback gRPC.
#include "server/server.h"

#include <grpcpp/grpcpp.h>

#include <cstring>
#include <future>
#include <thread>

#include "client/admin_client.h"
#include "client/client.h"
#include "gtest/gtest.h"
#include "larder/v1/cache.grpc.pb.h"
#include "larder/v1/manifest.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/prefix_hash.h"
#include "server/memory/cuda_arena.h"

namespace larder {
namespace {

using std::chrono::milliseconds;

Manifest BlobManifest(uint32_t bytes) {
  Manifest manifest;
  manifest.model = "blob";
  manifest.weights_digest = "w";
  manifest.dtype = Dtype::kUint8;
  manifest.block_tokens = 16;
  manifest.hash_scheme.name = "test";
  manifest.groups.push_back(
      {.name = "all", .kind = GroupKind::kState, .layers = 1, .unit_bytes = bytes});
  return manifest;
}

PrefixHash Number(uint64_t number) {
  PrefixHash hash;
  hash.size = 8;
  std::memcpy(hash.bytes.data(), &number, 8);
  return hash;
}

std::shared_ptr<std::byte> RawOf(uint64_t number, size_t size) {
  std::shared_ptr<std::byte> raw(new std::byte[size], std::default_delete<std::byte[]>());
  for (size_t i = 0; i < size; ++i)
    raw.get()[i] = static_cast<std::byte>(number * 31 + i + (i >> 9));
  return raw;
}

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() { Start({}); }

  void Start(server::Config config) {
    server.reset();
    config.listen = config.metrics_listen = "127.0.0.1:0";
    if (config.dram_bytes == server::Config().dram_bytes) config.dram_bytes = uint64_t{256} << 20;
    server = server::Server::Start(config).value();
    client = Client::Connect({.address = server->listen()}).value();
  }
  Space Register(uint32_t bytes, std::string_view tenant = "default") {
    return client->Register(ManifestToWire(BlobManifest(bytes)), tenant).value()[0];
  }
  PutBlock Block(const Space& space, uint64_t number, uint64_t parent = 0) {
    PutBlock block;
    block.hash = Number(number);
    if (parent != 0) block.parent = Number(parent);
    block.raw_bytes = *RawBytes(space.shape);
    block.raw = RawOf(number, block.raw_bytes);
    return block;
  }
  std::vector<PutBlock> Chain(const Space& space, uint64_t first, uint64_t last) {
    std::vector<PutBlock> blocks;
    for (uint64_t n = first; n <= last; ++n)
      blocks.push_back(Block(space, n, n == first ? 0 : n - 1));
    return blocks;
  }
  static std::vector<PrefixHash> Hashes(uint64_t first, uint64_t last) {
    std::vector<PrefixHash> hashes;
    for (uint64_t n = first; n <= last; ++n) hashes.push_back(Number(n));
    return hashes;
  }
  // Gets the blocks and checks every byte of every hit.
  std::vector<GetResult> GetAndCheck(const Space& space, uint64_t first, uint64_t last,
                                     const GetOptions& options = {}) {
    const size_t size = *RawBytes(space.shape);
    std::vector<std::byte> memory(size * (last - first + 1));
    std::vector<GetBlock> wanted;
    for (uint64_t n = first; n <= last; ++n) {
      wanted.push_back({Number(n), std::span(memory).subspan(size * (n - first), size)});
    }
    const auto results = client->Get(space, wanted, options);
    EXPECT_TRUE(results.ok()) << results.status();
    if (!results.ok()) return {};
    for (uint64_t n = first; n <= last; ++n) {
      if (!(*results)[n - first].hit) continue;
      EXPECT_EQ(std::memcmp(wanted[n - first].destination.data(), RawOf(n, size).get(), size), 0)
          << n;
    }
    return *results;
  }

  std::unique_ptr<server::Server> server;
  std::unique_ptr<Client> client;
};

TEST_F(ServerTest, RoundTripsBlocksOfEverySize) {
  for (const uint32_t bytes : {1u, 63u, 64u, 4096u, 1u << 20, (1u << 20) + 17, 64u << 20}) {
    const Space space = Register(bytes);
    const auto put = client->Put(space, Chain(space, 1, bytes > (8u << 20) ? 2 : 5));
    ASSERT_TRUE(put.ok()) << put.status();
    for (const PutResult& result : *put)
      EXPECT_EQ(result.outcome, PutOutcome::kStored) << bytes << result.message;
    const auto got = GetAndCheck(space, 1, put->size());
    for (const GetResult& result : got) EXPECT_TRUE(result.hit) << bytes;
  }
}

TEST_F(ServerTest, LookupLeaseGetReleaseIsTheEnginesLoop) {
  const Space space = Register(10'000);
  ASSERT_TRUE(client->Put(space, Chain(space, 1, 20)).ok());
  const auto found = client->Lookup(space, Hashes(1, 25), {.lease_ttl = milliseconds(5000)});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->blocks.size(), 20u);
  EXPECT_EQ(found->miss_reason, MissReason::kNeverSeen);
  GetOptions options;
  options.lease_id = found->lease_id;
  for (const GetResult& result : GetAndCheck(space, 1, 20, options)) EXPECT_TRUE(result.hit);
  EXPECT_EQ(client->Renew(found->lease_id, milliseconds(1000)).value(), milliseconds(1000));
  EXPECT_TRUE(client->Release(found->lease_id).value());
  EXPECT_FALSE(client->Release(found->lease_id).value());
  EXPECT_EQ(client->Renew(found->lease_id, milliseconds(1000)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  std::vector<std::byte> memory(10'000);
  const auto late = client->Get(space, std::vector{GetBlock{Number(1), memory}}, options);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ServerTest, TenantsAndManifestsAreSeparate) {
  const Space a = Register(5000, "a"), b = Register(5000, "b"), other = Register(5001, "a");
  ASSERT_TRUE(client->Put(a, Chain(a, 1, 3)).ok());
  EXPECT_EQ(client->Lookup(b, Hashes(1, 3))->blocks.size(), 0u);
  EXPECT_EQ(client->Lookup(other, Hashes(1, 3))->blocks.size(), 0u);
  for (const GetResult& result : GetAndCheck(b, 1, 3)) EXPECT_FALSE(result.hit);
}

TEST_F(ServerTest, ABadCallIsATypedErrorBeforeTheNetwork) {
  const Space space = Register(5000);
  PutBlock block = Block(space, 1);
  block.raw_bytes -= 1;
  EXPECT_EQ(client->Put(space, std::vector{block}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client->Lookup(space, {}).status().code(), absl::StatusCode::kInvalidArgument);
  std::vector<std::byte> small(10);
  EXPECT_EQ(client->Get(space, std::vector{GetBlock{Number(1), small}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Client::Connect({.address = "nonsense"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTest, AnUnreachableServerIsUnavailableWithinTheDeadline) {
  const std::string address = server->listen();
  client.reset();
  server.reset();
  const auto before = std::chrono::steady_clock::now();
  const auto gone = Client::Connect({.address = address}, {.timeout = milliseconds(500)});
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kUnavailable) << gone.status();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
}

TEST_F(ServerTest, EvictionKeepsTheBudgetAndTheServerSaysWhy) {
  server::Config config;
  config.dram_bytes = uint64_t{16} << 20;
  Start(config);
  const Space space = Register(1 << 20);
  for (uint64_t n = 1; n <= 40; ++n) {
    ASSERT_EQ(client->Put(space, std::vector{Block(space, n)})->at(0).outcome, PutOutcome::kStored);
  }
  const auto results = GetAndCheck(space, 1, 40);
  EXPECT_FALSE(results.front().hit);
  EXPECT_EQ(results.front().miss_reason, MissReason::kEvicted);
  EXPECT_TRUE(results.back().hit);
  auto admin = AdminClient::Connect({.address = server->listen()}).value();
  const auto stats = admin->Stats().value();
  EXPECT_LE(stats.tiers(0).used_bytes(), stats.tiers(0).budget_bytes());
  EXPECT_EQ(stats.evicted_blocks() + stats.tiers(0).blocks(), 40u);
  EXPECT_EQ(stats.pinned_blocks(), 0u);
}

TEST_F(ServerTest, ConcurrentClientsGetRightBytesUnderEviction) {
  server::Config config;
  config.dram_bytes = uint64_t{16} << 20;
  Start(config);
  const Space space = Register(300'000);
  std::vector<std::thread> threads;
  std::atomic<int> hits{0};
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 40; ++i) {
        const uint64_t first = 1 + (t * 37 + i * 11) % 80;
        ASSERT_TRUE(
            client->Put(space, std::vector{Block(space, first), Block(space, first + 1)}).ok());
        for (const GetResult& result : GetAndCheck(space, first, first + 3)) hits += result.hit;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(hits.load(), 100);
}

TEST_F(ServerTest, AsynchronousCallsEndExactlyOnce) {
  const Space space = Register(50'000);
  std::atomic<int> done{0};
  std::promise<void> all;
  constexpr int kCalls = 50;
  for (int i = 0; i < kCalls; ++i) {
    client->PutAsync(space, std::vector{Block(space, 1 + i % 5)}, {}, [&](auto result) {
      EXPECT_TRUE(result.ok()) << result.status();
      if (++done == kCalls) all.set_value();
    });
  }
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(done.load(), kCalls);
}

TEST_F(ServerTest, ARetriedCallLetsItsBuffersGo) {
  const Space space = Register(5000);
  const std::string address = server->listen();
  server.reset();
  PutBlock block = Block(space, 1);
  PutOptions quick;
  quick.timeout = milliseconds(400);
  EXPECT_FALSE(client->Put(space, std::vector{block}, quick).ok());
  client.reset();
  // The transport's own threads may let the last slice go a moment later.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (block.raw.use_count() > 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(block.raw.use_count(), 1);
}

TEST_F(ServerTest, CompressedRequestsAreRefusedBeforeTheyAreInflated) {
  const auto stub =
      v1::Cache::NewStub(grpc::CreateChannel(server->listen(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::ReleaseRequest request;
  request.set_lease_id(std::string(1 << 20, '0'));
  v1::ReleaseResponse response;
  EXPECT_EQ(stub->Release(&context, request, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

// Streams that say nothing, of one client: as many as the server takes.
class IdleStreams {
 public:
  IdleStreams(const std::string& address, const std::string& client, int streams)
      : cache_(v1::Cache::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    for (int i = 0; i < streams; ++i) {
      auto& stream = streams_.emplace_back(std::make_unique<Stream>());
      stream->context.AddMetadata("larder-client", client);
      stream->writer = cache_->Put(&stream->context, &stream->response);
    }
  }
  ~IdleStreams() {
    for (const auto& stream : streams_) stream->context.TryCancel();
    for (const auto& stream : streams_) static_cast<void>(stream->writer->Finish());
  }

 private:
  struct Stream {
    grpc::ClientContext context;
    v1::PutResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::PutRequest>> writer;
  };
  const std::unique_ptr<v1::Cache::Stub> cache_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

TEST_F(ServerTest, NoClientTakesEveryStream) {
  server::Config config;
  config.streams_max = 8;
  Start(config);
  const Space space = Register(4096);
  const auto admin = AdminClient::Connect({.address = server->listen()}).value();
  IdleStreams greedy(server->listen(), "greedy", 20);
  const auto open = [&] { return admin->Stats()->put_streams(); };
  for (int i = 0; i < 1000 && open() < 6; ++i) std::this_thread::sleep_for(milliseconds(5));
  for (int i = 0; i < 20; ++i) {
    const auto put = client->Put(space, Chain(space, 1, 3), {});
    ASSERT_TRUE(put.ok()) << put.status();
  }
  // The last put's stream may be counted a moment longer than its answer takes.
  for (int i = 0; i < 1000 && open() > 6; ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(open(), 6u);
  EXPECT_EQ(GetAndCheck(space, 1, 3).size(), 3u);
}

TEST_F(ServerTest, DestroyingTheClientEndsWhatIsInFlight) {
  const Space space = Register(8 << 20);
  std::atomic<int> done{0};
  for (int i = 0; i < 8; ++i) {
    client->PutAsync(space, std::vector{Block(space, 1 + i)}, {}, [&](auto) { ++done; });
  }
  client.reset();
  EXPECT_EQ(done.load(), 8);
}

TEST_F(ServerTest, ADrainingServerMissesAndIsUnavailable) {
  const Space space = Register(5000);
  ASSERT_TRUE(client->Put(space, Chain(space, 1, 3)).ok());
  auto admin = AdminClient::Connect({.address = server->listen()}).value();
  ASSERT_TRUE(admin->Drain().ok());
  EXPECT_EQ(client->Lookup(space, Hashes(1, 3))->miss_reason, MissReason::kDraining);
  for (const GetResult& result : GetAndCheck(space, 1, 3))
    EXPECT_EQ(result.miss_reason, MissReason::kDraining);
  PutOptions quick;
  quick.timeout = milliseconds(300);
  EXPECT_FALSE(client->Put(space, Chain(space, 4, 4), quick).ok());
}

TEST_F(ServerTest, WatchersSeeBlocksComeAndGo) {
  const Space space = Register(5000);
  auto stub =
      v1::Cache::NewStub(grpc::CreateChannel(server->listen(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::WatchEventsRequest request;
  request.set_space_id(space.id);
  auto reader = stub->WatchEvents(&context, request);
  // The watcher exists once the server says so; until then nothing is recorded for it.
  reader->WaitForInitialMetadata();
  ASSERT_TRUE(client->Put(space, Chain(space, 1, 3)).ok());
  int stored = 0;
  v1::WatchEventsResponse response;
  while (stored < 3 && reader->Read(&response)) stored += response.events_size();
  EXPECT_EQ(stored, 3);
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ServerTest, StartRefusesADeviceThatIsNotThere) {
  if (server::CudaDeviceCount() > 0) GTEST_SKIP() << "there is a CUDA device";
  server::Config config;
  config.listen = config.metrics_listen = "127.0.0.1:0";
  config.dram_bytes = uint64_t{16} << 20;
  config.codec_device = server::CodecDevice::kGpu;
  const absl::Status status = server::Server::Start(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("codec_device"), absl::string_view::npos) << status;
  config.codec_device = server::CodecDevice::kAuto;
  EXPECT_TRUE(server::Server::Start(config).ok());
}

TEST_F(ServerTest, StartRefusesAnAddressThatIsTaken) {
  server::Config config;
  config.listen = server->listen();
  config.metrics_listen = "127.0.0.1:0";
  config.dram_bytes = uint64_t{16} << 20;
  EXPECT_EQ(server::Server::Start(config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace larder
