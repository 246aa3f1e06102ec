// Blocks through windows: a whole server and real clients in one process.
#include <grpcpp/grpcpp.h>

#include <cstring>
#include <future>
#include <random>
#include <thread>

#include "client/admin_client.h"
#include "client/client.h"
#include "client/plane.h"
#include "client/shm_client_window.h"
#include "client/ucx_client_window.h"
#include "gtest/gtest.h"
#include "larder/v1/cache.grpc.pb.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/limits.h"
#include "server/server.h"
#include "tests/integration/known_blocks.h"
#include "tests/integration/scrape.h"

namespace larder {
namespace {

using std::chrono::milliseconds;
using testing::IsKnown;
using testing::KnownChain;
using testing::KnownHash;

constexpr uint32_t kLayers = 8;
constexpr uint32_t kRowBytes = 2048;  // 256 KiB a block

class PlanesTest : public ::testing::Test {
 protected:
  PlanesTest() { Start({}); }
  void Start(server::Config config) {
    client.reset();
    server.reset();
    config.listen = config.metrics_listen = "127.0.0.1:0";
    config.dram_bytes = uint64_t{256} << 20;
    config.codec = "raw";
    server = server::Server::Start(config).value();
  }
  void Connect(ClientOptions options = {}, uint32_t row_bytes = kRowBytes) {
    options.address = server->listen();
    client = Client::Connect(options).value();
    space = client->Register(testing::KnownManifest("m", kLayers, row_bytes), "default")->front();
  }
  std::shared_ptr<ClientWindow> OpenUcxWindow(const char* client_id) {
    ClientOptions options{.address = server->listen(), .client_id = client_id};
    options.window.bytes = 1 << 20;
    return UcxClientWindow::Open(options, client->Capabilities()->ucx_address()).value();
  }
  void PutChain(uint32_t chain, uint32_t length) {
    const auto results = client->Put(space, KnownChain(space, chain, length));
    ASSERT_TRUE(results.ok()) << results.status();
    for (const PutResult& result : *results) EXPECT_EQ(result.outcome, PutOutcome::kStored);
  }
  // Gets blocks 0..length-1 into memory of ours and checks every byte; how many hits.
  size_t GetChain(uint32_t chain, uint32_t length, const GetOptions& options = {}) {
    std::vector<std::vector<std::byte>> memory(length);
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < length; ++i) {
      memory[i].resize(testing::RawBytesOf(space));
      blocks.push_back({KnownHash(chain, i), memory[i]});
    }
    const auto results = client->Get(space, blocks, options);
    EXPECT_TRUE(results.ok()) << results.status();
    size_t hits = 0;
    for (uint32_t i = 0; results.ok() && i < length; ++i) {
      hits += (*results)[i].hit;
      EXPECT_TRUE(!(*results)[i].hit || IsKnown(blocks[i].hash, memory[i])) << i;
    }
    return hits;
  }

  std::unique_ptr<server::Server> server;
  std::unique_ptr<Client> client;
  Space space;
};

TEST_F(PlanesTest, AClientOfThisHostTakesSharedMemoryByItself) {
  Connect();
  EXPECT_EQ(client->plane().plane, PlaneKind::kShm);
  PutChain(1, 20);
  EXPECT_EQ(GetChain(1, 22), 20u);
  const PlaneStatus status = client->plane();
  EXPECT_GE(status.window_calls, 2u);
  EXPECT_EQ(status.inline_calls, 0u);
  EXPECT_EQ(status.window_used_bytes, 0u);  // everything was given back
}

TEST_F(PlanesTest, BlocksWhoseStreamsNeedPaddingPass) {
  Connect({}, 1001);
  PutChain(1, 5);
  EXPECT_EQ(GetChain(1, 5), 5u);
  GetBlock block{KnownHash(1, 2), {}};
  const auto results = client->Get(space, {&block, 1});
  ASSERT_TRUE(results.ok() && results->front().hit);
  EXPECT_TRUE(IsKnown(block.hash, results->front().view));
  EXPECT_EQ(client->plane().window_used_bytes, 0u);  // gaps: the view is a copy
}

TEST_F(PlanesTest, EveryPlaneGivesTheSameBytesAndViews) {
  Start({.ucx_listen = "127.0.0.1:0"});
  Connect();
  PutChain(1, 6);
  for (const auto& [plane, name] : {std::pair{PlaneChoice::kInline, "inline"},
                                    {PlaneChoice::kShm, "shm"},
                                    {PlaneChoice::kUcx, "ucx"}}) {
    Connect({.plane = plane});
    EXPECT_EQ(PlaneName(client->plane().plane), name);
    EXPECT_EQ(GetChain(1, 7), 6u);
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < 6; ++i) blocks.push_back({KnownHash(1, i), {}});
    auto results = client->Get(space, blocks);
    ASSERT_TRUE(results.ok()) << results.status();
    // Held by views.
    EXPECT_EQ(client->plane().window_used_bytes > 0, plane != PlaneChoice::kInline);
    const auto kept = results->back();
    results->clear();
    EXPECT_TRUE(IsKnown(blocks[5].hash, kept.view));
    client.reset();
    EXPECT_TRUE(IsKnown(blocks[5].hash, kept.view));  // a view outlives its client
  }
}

TEST_F(PlanesTest, PutsFromTheWindowWithoutACopy) {
  Connect();
  const uint64_t bytes = testing::RawBytesOf(space);
  const auto memory = client->AllocateBlock(bytes);
  testing::FillKnown(KnownHash(3, 0), {memory.get(), bytes});
  const uint64_t used = client->plane().window_used_bytes;
  EXPECT_GE(used, bytes);
  PutBlock block{.hash = KnownHash(3, 0), .raw = memory, .raw_bytes = bytes};
  const auto results = client->Put(space, {&block, 1});
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->front().outcome, PutOutcome::kStored);
  EXPECT_EQ(GetChain(3, 1), 1u);
}

TEST_F(PlanesTest, TellsLayersInOrderAndOnlyWhenTheirBytesStand) {
  Connect();
  PutChain(1, 4);
  for (const PlaneChoice plane : {PlaneChoice::kInline, PlaneChoice::kShm}) {
    Connect({.plane = plane});
    const uint64_t bytes = testing::RawBytesOf(space);
    std::vector<std::vector<std::byte>> memory(4, std::vector<std::byte>(bytes));
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < 4; ++i) blocks.push_back({KnownHash(1, i), memory[i]});
    std::vector<uint32_t> told(4, 0);
    GetOptions options;
    options.on_layers = [&](size_t block, uint32_t layers) {
      EXPECT_GT(layers, told[block]);
      told[block] = layers;
      std::vector<std::byte> expected(bytes);
      testing::FillKnown(blocks[block].hash, expected);
      EXPECT_EQ(std::memcmp(expected.data(), memory[block].data(), bytes / kLayers * layers), 0);
    };
    ASSERT_TRUE(client->Get(space, blocks, options).ok());
    for (const uint32_t layers : told) EXPECT_EQ(layers, kLayers);
  }
}

TEST_F(PlanesTest, LayersOverUcxAreToldWhileLaterOnesAreOnTheirWay) {
  server::Config config;
  config.ucx_listen = "127.0.0.1:0";
  Start(config);
  Connect({.plane = PlaneChoice::kUcx, .window = {.bytes = 64 << 20}}, 64 << 10);  // 8 MiB a block
  PutChain(1, 2);
  const uint64_t bytes = testing::RawBytesOf(space);
  std::vector<std::byte> memory(bytes);
  const GetBlock block{KnownHash(1, 1), memory};
  const std::shared_ptr<const std::byte> expected = KnownChain(space, 1, 2)[1].raw;
  uint32_t early = 0;
  GetOptions options;
  options.on_layers = [&](size_t, uint32_t layers) {
    early += layers < kLayers;
    EXPECT_EQ(std::memcmp(expected.get(), memory.data(), bytes / kLayers * layers), 0);
  };
  // How far the bytes are at any look is up to the scheduler; never to be early is not.
  for (int tries = 0; early == 0 && tries < 50; ++tries) {
    std::fill(memory.begin(), memory.end(), std::byte{0});
    ASSERT_TRUE(client->Get(space, {&block, 1}, options).ok());
  }
  EXPECT_GT(early, 0u);
}

TEST_F(PlanesTest, ABatchLargerThanTheWindowPassesInTurns) {
  Connect({.window = {.bytes = 1 << 20}});
  PutChain(1, 20);
  EXPECT_EQ(GetChain(1, 20), 20u);
  EXPECT_EQ(client->plane().inline_calls, 0u);
  EXPECT_GE(client->plane().window_calls, 10u);
}

TEST_F(PlanesTest, ACallOfMoreBlocksThanAConnectionTakesPasses) {
  constexpr uint32_t kLength = kWindowCallBlocksMax + 44;
  Start({.ucx_listen = "127.0.0.1:0"});
  for (const PlaneChoice plane : {PlaneChoice::kShm, PlaneChoice::kUcx}) {
    Connect({.plane = plane}, 64);
    const auto chain = plane == PlaneChoice::kShm ? 1 : 2;
    PutChain(chain, kLength);
    EXPECT_EQ(GetChain(chain, kLength), kLength);
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < kLength; ++i) blocks.push_back({KnownHash(chain, i), {}});
    const auto prefix = client->GetPrefix(space, blocks);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    EXPECT_EQ(prefix->blocks.size(), kLength);
    EXPECT_EQ(client->plane().windows_opened, 1u);
  }
}

// What is told of at a time is bounded by its headers, too.
TEST_F(PlanesTest, PutsOfSmallBlocksWithLargeHeadersKeepTheWindow) {
  Start({.ucx_listen = "127.0.0.1:0"});
  for (const PlaneChoice plane : {PlaneChoice::kShm, PlaneChoice::kUcx}) {
    for (const uint32_t row_bytes : {32, 64, 96, 128, 192, 256}) {
      Connect({.plane = plane}, row_bytes);
      const uint32_t chain = row_bytes + static_cast<uint32_t>(plane);
      PutChain(chain, 250);
      EXPECT_EQ(GetChain(chain, 250), 250u);
      EXPECT_EQ(client->plane().windows_opened, 1u);
    }
  }
}

TEST_F(PlanesTest, WhatHasNoRoomInTheWindowGoesInlineAndIsCounted) {
  Connect({.window = {.bytes = 64 << 10}});
  PutChain(1, 3);
  EXPECT_EQ(GetChain(1, 3), 3u);
  EXPECT_GE(client->plane().inline_calls, 2u);
  const auto metrics = testing::Scrape(server->metrics_listen());
  EXPECT_EQ(metrics.at("larder_transfers_total{end=\"done\",plane=\"inline\"}"),
            6);  // 3 puts, 3 gets
  const auto prefix = client->GetPrefix(space, std::vector<GetBlock>{{KnownHash(1, 0), {}}});
  ASSERT_TRUE(prefix.ok());
  EXPECT_EQ(prefix->blocks.size(), 1u);
}

TEST_F(PlanesTest, SaysWhyThereIsNoSharedMemoryAndInsistsWhenToldTo) {
  Start({.shm = false});
  Connect();
  EXPECT_EQ(client->plane().plane, PlaneKind::kInline);
  EXPECT_NE(client->plane().reason.find("does not offer"), std::string::npos);
  const auto insisting = Client::Connect({.plane = PlaneChoice::kShm, .address = server->listen()});
  EXPECT_EQ(insisting.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PlanesTest, AWindowBeyondTheServersBoundIsRefusedWithItsReason) {
  Start({.window_bytes_max = uint64_t{1} << 20});
  Connect();
  EXPECT_EQ(client->plane().plane, PlaneKind::kInline);
  EXPECT_NE(client->plane().reason.find("window_bytes"), std::string::npos)
      << client->plane().reason;
  PutChain(1, 2);
  EXPECT_EQ(GetChain(1, 2), 2u);
}

TEST_F(PlanesTest, AGetOfAPrefixIsOneCallWithItsLease) {
  for (const PlaneChoice plane : {PlaneChoice::kInline, PlaneChoice::kShm}) {
    Connect({.plane = plane});
    if (plane == PlaneChoice::kInline) PutChain(1, 5);
    std::vector<GetBlock> blocks;
    for (uint32_t i = 0; i < 8; ++i) blocks.push_back({KnownHash(1, i), {}});
    PrefixOptions options;
    options.lease_ttl = std::chrono::seconds(30);
    const auto prefix = client->GetPrefix(space, blocks, options);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    ASSERT_EQ(prefix->blocks.size(), 5u);
    for (uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(IsKnown(blocks[i].hash, prefix->blocks[i].view));
    EXPECT_EQ(prefix->miss_reason, MissReason::kNeverSeen);
    EXPECT_TRUE(*client->Release(prefix->lease_id));
    const auto nothing = client->GetPrefix(space, std::span(blocks).subspan(6), options);
    ASSERT_TRUE(nothing.ok()) << nothing.status();
    EXPECT_TRUE(nothing->blocks.empty());
    EXPECT_EQ(nothing->miss_reason, MissReason::kNeverSeen);
    EXPECT_EQ(nothing->lease_id, "");
  }
}

TEST_F(PlanesTest, ManyThreadsShareOneWindow) {
  Connect({.window = {.bytes = 4 << 20}});
  for (uint32_t chain = 0; chain < 8; ++chain) PutChain(chain, 4);
  std::atomic<size_t> hits{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t round = 0; round < 20; ++round) hits += GetChain((t + round) % 8, 4);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(hits, 4u * 20 * 4);
  EXPECT_EQ(client->plane().window_used_bytes, 0u);
}

TEST_F(PlanesTest, MoreThreadsThanAConnectionTakesCallsPass) {
  Start({.ucx_listen = "127.0.0.1:0"});
  for (const PlaneChoice plane : {PlaneChoice::kShm, PlaneChoice::kUcx}) {
    Connect({.plane = plane}, 128);
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kWindowCallsMax + 32; ++i) {
      threads.emplace_back([this, chain = 1'000 * static_cast<uint32_t>(plane) + i] {
        for (uint32_t round = 0; round < 2; ++round) {
          PutChain(chain + round * 500, 8);
          EXPECT_EQ(GetChain(chain + round * 500, 8), 8u);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(client->plane().windows_opened, 1u);
  }
}

TEST_F(PlanesTest, AsynchronousCallsUseTheWindowToo) {
  Connect();
  PutChain(1, 4);
  std::vector<GetBlock> blocks;
  for (uint32_t i = 0; i < 4; ++i) blocks.push_back({KnownHash(1, i), {}});
  std::promise<absl::StatusOr<std::vector<GetResult>>> done;
  client->GetAsync(space, blocks, {}, [&](auto results) { done.set_value(std::move(results)); });
  const auto results = done.get_future().get();
  ASSERT_TRUE(results.ok());
  for (uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(IsKnown(blocks[i].hash, (*results)[i].view));
  EXPECT_EQ(client->plane().inline_calls, 0u);
}

// A refusal is no proof for the client (gRPC gives the same code); the slots that the server tells are.
TEST_F(PlanesTest, GetsThatAreRefusedLeaveTheWindowAsItWas) {
  Start({.streams_max = 1});
  Connect({.window = {.bytes = 4 << 20}, .retries_max = 0});
  PutChain(1, 4);
  const auto admin = AdminClient::Connect({.address = server->listen()}).value();
  const auto await_streams = [&](uint64_t streams) {
    for (int i = 0; i < 1000 && admin->Stats()->put_streams() != streams; ++i) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  };
  await_streams(0);
  const auto cache =
      v1::Cache::NewStub(grpc::CreateChannel(server->listen(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::PutResponse nothing;
  const auto stream = cache->Put(&context, &nothing);  // takes the only place
  await_streams(1);
  std::vector<GetBlock> blocks;
  for (uint32_t i = 0; i < 4; ++i) blocks.push_back({KnownHash(1, i), {}});
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(absl::IsResourceExhausted(client->Get(space, blocks).status()));
  }
  context.TryCancel();
  static_cast<void>(stream->Finish());
  absl::StatusOr<std::vector<GetResult>> results = absl::UnknownError("");
  for (int i = 0; i < 1000 && !results.ok(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
    results = client->Get(space, blocks);
  }
  ASSERT_TRUE(results.ok()) << results.status();
  for (const GetResult& each : *results) EXPECT_TRUE(each.hit);
  EXPECT_EQ(client->plane().windows_opened, 1u);
}

TEST_F(PlanesTest, EverySlotOfAGetIsToldTheEndBeforeItsAnswer) {
  Connect();
  PutChain(1, 2);
  constexpr char kMe[] = "raw";
  constexpr int kBlocks = 5;
  const auto window =
      ShmClientWindow::Open(client->Capabilities()->shm_socket(), kMe, 8 << 20, false).value();
  const auto windows = v1::Windows::NewStub(
      grpc::CreateChannel(server->listen(), grpc::InsecureChannelCredentials()));
  const auto* const slots = reinterpret_cast<const ProgressSlot*>(window->memory().data());
  for (const SpaceId id : {space.id, space.id + 1}) {  // found, and refused
    std::memset(window->memory().data(), 0, 4096);
    v1::GetToWindowRequest request;
    request.set_window_id(std::string(window->id()));
    request.set_prefix(true);
    request.set_progress_offset(0);
    request.mutable_get()->set_space_id(id);
    for (uint32_t i = 0; i < kBlocks; ++i) {
      request.mutable_get()->add_prefix_hashes(std::string(KnownHash(1, i).view()));
      v1::WindowRange* const target = request.add_targets();
      target->set_offset((i + 1) << 20);
      target->set_bytes(1 << 20);
    }
    grpc::ClientContext context;
    context.AddMetadata("larder-client", kMe);
    v1::GetToWindowResponse response;
    const grpc::Status status = windows->GetToWindow(&context, request, &response);
    EXPECT_EQ(status.ok(), id == space.id) << status.error_message();
    for (int i = 0; i < kBlocks; ++i) {
      EXPECT_NE(slots[i].state.load() & ProgressSlot::kEnded, 0u) << i;
      EXPECT_EQ((slots[i].state.load() & ProgressSlot::kBegun) != 0, status.ok() && i < 2) << i;
    }
  }
}

// A block of Allocate is put and let go of with everything else that holds the window, but UCX has it still.
TEST_F(PlanesTest, AUcxWindowMayEndWithAPayloadThatStoodInIt) {
  Start({.ucx_listen = "127.0.0.1:0"});
  Connect();
  std::shared_ptr<ClientWindow> window = OpenUcxWindow("owner");
  std::promise<void> let_go;
  {
    std::shared_ptr<const void> owner(window->memory().data(),
                                      [window, &let_go](const void*) { let_go.set_value(); });
    const OutgoingFrame::Piece piece{window->memory().first(64), std::move(owner)};
    window->BeginPut(std::vector<ClientWindow::Payload>{{{0, 64}, {&piece, 1}}});
  }
  window->Disconnect();
  window.reset();
  EXPECT_EQ(let_go.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
}

TEST_F(PlanesTest, AServerMayEndWhileThreadsCall) {
  for (const PlaneChoice plane : {PlaneChoice::kShm, PlaneChoice::kUcx}) {
    server::Config config;
    config.ucx_listen = "127.0.0.1:0";
    config.drain_timeout = milliseconds(100);
    Start(config);
    Connect({.plane = plane});
    PutChain(1, 20);
    std::atomic<bool> ending{false};
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, chain = 10 + i] {
        PutOptions put;
        put.timeout = milliseconds(300);
        GetOptions get;
        get.timeout = milliseconds(300);
        std::vector<GetBlock> blocks;
        for (uint32_t j = 0; j < 20; ++j) blocks.push_back({KnownHash(1, j), {}});
        const auto known = KnownChain(space, chain, 20);
        while (!ending) {
          const auto begun = std::chrono::steady_clock::now();
          client->Put(space, known, put).status().IgnoreError();
          const auto results = client->Get(space, blocks, get);
          EXPECT_LT(std::chrono::steady_clock::now() - begun, milliseconds(1'500));
          for (uint32_t j = 0; results.ok() && j < 20; ++j) {
            EXPECT_TRUE(!(*results)[j].hit || IsKnown(blocks[j].hash, (*results)[j].view));
          }
        }
      });
    }
    std::this_thread::sleep_for(milliseconds(200));
    server.reset();
    std::this_thread::sleep_for(milliseconds(200));
    ending = true;
    for (std::thread& thread : threads) thread.join();
  }
}

// What is never told of, and calls under way, keep no server from ending, and are answered.
TEST_F(PlanesTest, PutsThatAreNeverToldOfInWholeEndWithTheServer) {
  server::Config config;
  config.ucx_listen = "127.0.0.1:0";
  config.drain_timeout = milliseconds(200);
  Start(config);
  Connect();
  const std::vector<std::shared_ptr<ClientWindow>> windows{
      ShmClientWindow::Open(client->Capabilities()->shm_socket(), "half", 1 << 20, false).value(),
      OpenUcxWindow("half")};
  std::atomic<int> answered{0};
  for (const auto& window : windows) {
    for (uint32_t i = 0; i < kWindowCallsMax; ++i) {
      v1::WindowCall call;
      call.mutable_put()->set_window_id(std::string(window->id()));
      call.mutable_put()->mutable_open()->set_space_id(space.id);
      call.mutable_put()->mutable_open()->set_blocks(2);
      const auto number =
          window->calls().Start(call, std::chrono::system_clock::now() + std::chrono::hours(1),
                                [&](const auto& reply) { answered += !reply.ok(); });
      ASSERT_TRUE(number);
      for (int j = 0; j < 3; ++j) {
        v1::WindowCall more;
        more.mutable_more();
        ASSERT_TRUE(window->calls().Add(*number, more));
      }
    }
    v1::WindowCall more;
    more.mutable_more()->add_blocks();
    ASSERT_TRUE(window->calls().Add(1, more));
  }
  server.reset();
  for (const auto& window : windows) {
    for (int i = 0; i < 500 && window->alive(); ++i) std::this_thread::sleep_for(milliseconds(10));
    EXPECT_FALSE(window->alive());
    window->Disconnect();
  }
  for (int i = 0; i < 500 && answered < 120; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_GE(answered, 120);
}

TEST_F(PlanesTest, AWindowThatCanNotBeHadAgainIsNotAskedForWithEveryCall) {
  Connect();
  const auto capabilities = client->Capabilities().value();
  ClientOptions options{.window = {.bytes = 1 << 20}, .client_id = "me"};
  std::vector<PlaneStatus> told;
  options.on_plane_change = [&](const PlaneStatus& status) { told.push_back(status); };
  Plane plane(options);
  ASSERT_TRUE(plane.Negotiate(capabilities).ok());
  ASSERT_TRUE(plane.Current());
  EXPECT_FALSE(plane.WantsNegotiation());
  client.reset();
  server.reset();
  for (int i = 0; i < 1000 && plane.Current(); ++i) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].plane, PlaneKind::kInline);
  EXPECT_NE(told[0].reason.find("ended"), std::string::npos) << told[0].reason;
  EXPECT_TRUE(plane.WantsNegotiation());
  ASSERT_TRUE(plane.Negotiate(capabilities).ok());  // nobody there: inline
  EXPECT_FALSE(plane.WantsNegotiation());
  std::this_thread::sleep_for(Plane::kRetryPause);
  EXPECT_TRUE(plane.WantsNegotiation());
  EXPECT_EQ(told.size(), 1u);
}

// A get ends with its last byte; the answer to its call may be on its way then.
TEST_F(PlanesTest, AClientMayGoRightAfterItsGet) {
  Start({.ucx_listen = "127.0.0.1:0"});
  Connect();
  PutChain(1, 4);
  for (const PlaneChoice plane : {PlaneChoice::kShm, PlaneChoice::kUcx}) {
    for (int round = 0; round < 20; ++round) {
      Connect({.plane = plane});
      EXPECT_EQ(GetChain(1, 4), 4u);
      client.reset();
    }
  }
}

TEST_F(PlanesTest, DeadlinesThatPassLeaveTheWindowUsable) {
  Connect({.retries_max = 0});
  PutChain(1, 64);
  std::mt19937 random(5);
  size_t over = 0;
  for (int i = 0; i < 100; ++i) {
    std::vector<GetBlock> blocks;
    for (uint32_t b = 0; b < 64; ++b) blocks.push_back({KnownHash(1, b), {}});
    GetOptions options;
    options.timeout = milliseconds(1 + random() % 6);
    const auto begin = std::chrono::steady_clock::now();
    const auto results = client->Get(space, blocks, options);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
    if (!results.ok()) {
      ++over;
      EXPECT_EQ(results.status().code(), absl::StatusCode::kDeadlineExceeded) << results.status();
      continue;
    }
    for (uint32_t b = 0; b < 64; ++b) {
      EXPECT_TRUE(!(*results)[b].hit || IsKnown(blocks[b].hash, (*results)[b].view));
    }
  }
  EXPECT_EQ(GetChain(1, 64), 64u);
  std::printf("%zu of 100 gets passed their deadline\n", over);
}

}  // namespace
}  // namespace larder
