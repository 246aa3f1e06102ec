#include "server/server.h"

#include <grpcpp/grpcpp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "proto/contract/block_key.h"
#include "proto/contract/errors.h"
#include "server/base/check.h"
#include "server/base/clock.h"
#include "server/base/http_endpoint.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/codec/cuda_coder.h"
#include "server/codec/device_encoder.h"
#include "server/memory/cuda_arena.h"
#include "server/memory/host_arena.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/backend.h"
#include "server/rpc/cache_service.h"
#include "server/rpc/connection_calls.h"
#include "server/rpc/windows_service.h"
#include "server/server_ssd.h"
#include "server/store/store.h"
#include "server/tier/device_tier.h"
#include "server/tier/memory_tier.h"
#include "server/transport/shm_listener.h"
#include "server/transport/transport_pool.h"
#include "server/transport/ucx_listener.h"
#include "server/transport/window_table.h"

namespace larder::server {
namespace {

constexpr auto kJanitorInterval = std::chrono::milliseconds(100);
// A peer that vanished without closing its connection is noticed after interval + timeout; until
// then its pins stay.
constexpr int kKeepaliveIntervalMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
// Clients may ping as often as this without being told to calm down.
constexpr int kPingIntervalMinMs = 5'000;
// Transports let go of the last frames a moment after shutdown; a bug would show as a hang, so the
// wait is bounded.
constexpr auto kLastPinsTimeout = std::chrono::seconds(5);
constexpr size_t kInstanceIdBytes = 16;

std::string RandomInstanceId() {
  std::string id(kInstanceIdBytes, '\0');
  LARDER_CHECK(
      RAND_bytes(reinterpret_cast<unsigned char*>(id.data()), static_cast<int>(id.size())) == 1);
  return id;
}

std::string LocalSocketName(const std::string& instance_id) {
  return "larder-" +
         ToHex({reinterpret_cast<const uint8_t*>(instance_id.data()), instance_id.size()});
}

// Looks every millisecond. False when it did not come about in time.
template <typename Condition>
bool AwaitUntil(std::chrono::steady_clock::time_point until, Condition condition) {
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// The tiers and the device that a server may lack.
struct LowerTiers {
  OpenedSsd ssd;
  std::unique_ptr<DeviceArena> hbm;
  std::unique_ptr<DeviceCoder> coder;
};

// The device that encodes on ingest; nullptr: the CPU does.
absl::StatusOr<std::unique_ptr<DeviceCoder>> OpenDeviceCoder(const Config& config) {
  if (config.codec_device == CodecDevice::kCpu) return nullptr;
  const bool must = config.codec_device == CodecDevice::kGpu;
  if (!must && CudaDeviceCount() == 0) return nullptr;
  auto coder = CreateCudaCoder({});
  if (coder.ok() || must) return coder;
  LogWarn("no device encodes; the CPU does", {{"reason", std::string(coder.status().message())}});
  return nullptr;
}

absl::StatusOr<LowerTiers> OpenLowerTiers(const Config& config, const HbmFactory& hbm,
                                          const Clock& clock) {
  LowerTiers lower;
  if (config.hbm_bytes > 0) {
    auto arena = hbm(config.hbm_bytes);
    if (!arena.ok()) return arena.status();
    lower.hbm = *std::move(arena);
  }
  auto coder = OpenDeviceCoder(config);
  if (!coder.ok()) return coder.status();
  lower.coder = *std::move(coder);
  auto ssd = OpenSsd(config, clock);
  if (!ssd.ok()) return ssd.status();
  lower.ssd = *std::move(ssd);
  return lower;
}

// Ends leases, expires blocks and cancels idle streams, ten times a second.
class Janitor {
 public:
  // `ucx` may be null.
  Janitor(Store& store, StreamGate& gate, UcxListener* ucx)
      : thread_([this, &store, &gate, ucx] { Run(store, gate, ucx); }) {}
  ~Janitor() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  void Run(Store& store, StreamGate& gate, UcxListener* ucx) {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kJanitorInterval, [this] { return stop_; })) {
      lock.unlock();
      store.Advance();
      gate.CancelIdle();
      if (ucx != nullptr) ucx->DropUnclaimed();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace

struct Server::State {
  State(const Config& config_in, std::unique_ptr<HostArena> arena_in,
        std::unique_ptr<RealClock> clock_in, LowerTiers lower)
      : config(config_in),
        clock_owned(std::move(clock_in)),
        arena(std::move(arena_in)),
        dram(TierKind::kDram, *arena),
        hbm_arena(std::move(lower.hbm)),
        ssd(std::move(lower.ssd)),
        coder(std::move(lower.coder)),
        store(config, {dram, ssd.parts.get(), OpenHbm(), OpenEncoder()}, clock, metrics),
        gate(config.streams_max, config.stream_idle_timeout, clock),
        windows({config.windows_max, config.windows_per_client_max, config.window_bytes_max,
                 config.windows_bytes_max}),
        transport(config.transport_threads),
        backend{config,      store, gate,   clock, metrics, windows, transport, RandomInstanceId(),
                clock.Now(), {},    nullptr},
        cache(backend),
        windows_service(backend),
        admin(backend) {}

  ~State() {
    store.StopMigrate();
    ssd.tier.reset();  // it asks the store, and tells it of its last writes
  }

  DeviceTier* OpenHbm() { return hbm_arena ? &hbm.emplace(*hbm_arena) : nullptr; }

  DeviceEncoder* OpenEncoder() {
    if (coder == nullptr) return nullptr;
    return &encoder.emplace(std::move(coder), DeviceEncoder::Options{}, metrics);
  }

  OpenCalls OpenWindowCalls() {
    return [this](std::string client, AnswerCall answer) {
      return std::make_shared<ConnectionCalls>(backend, std::move(client), std::move(answer));
    };
  }
  uint64_t open_streams() const {
    return gate.open(StreamKind::kPut) + gate.open(StreamKind::kGet);
  }

  std::optional<HbmSample> SampleHbm(const BlockStore::Stats& blocks) {
    if (!hbm) return std::nullopt;
    const HbmMigrate::Stats moves = store.hbm_migrate()->stats();
    const HbmReads::Stats reads = store.hbm_reads()->stats();
    return HbmSample{.usage = hbm->usage(),
                     .moved_blocks = moves.moved,
                     .brought_blocks = reads.brought,
                     .dropped_blocks = blocks.dropped_hbm,
                     .skipped_blocks = moves.skipped,
                     .failed_reads = reads.failures,
                     .damaged_frames = reads.damaged,
                     .lost = moves.lost};
  }

  std::optional<SsdSample> SampleSsd(const BlockStore::Stats& blocks) {
    if (store.ssd() == nullptr) return std::nullopt;
    const SsdUsage usage = store.ssd()->usage();
    const Migrate::Stats moves = store.migrate()->stats();
    return SsdSample{.usage = {usage.budget_bytes, usage.live_bytes, blocks.ssd_blocks},
                     .payload_bytes_written = usage.payload_bytes_written,
                     .moved_bytes_written = usage.moved_bytes_written,
                     .catalog_bytes_written = usage.catalog_bytes_written,
                     .bytes_written = usage.bytes_written(),
                     .scrubbed_bytes = usage.scrubbed_bytes,
                     .damaged_frames = usage.damaged_frames,
                     .written_blocks = moves.writes,
                     .promoted_blocks = moves.promotions,
                     .dropped_blocks = blocks.dropped_memory,
                     .overtaken_blocks = blocks.overtaken,
                     .recoded_blocks = moves.recoded,
                     .refused_blocks = moves.no_room + moves.too_large + moves.write_failures,
                     .waiting_blocks = moves.queued,
                     .health = static_cast<uint8_t>(usage.health)};
  }

  GaugeSample SampleGauges() {
    const BlockStore::Stats blocks = store.blocks().stats();
    GaugeSample sample;
    sample.dram = dram.usage();
    sample.hbm = SampleHbm(blocks);
    sample.ssd = SampleSsd(blocks);
    sample.blocks = blocks.blocks;
    sample.blocks_max = blocks.blocks_max;
    sample.pinned_blocks = blocks.pinned_blocks;
    sample.leases = store.leases().size();
    sample.spaces = store.spaces().size();
    sample.put_streams = gate.open(StreamKind::kPut);
    sample.get_streams = gate.open(StreamKind::kGet);
    sample.streams_max = gate.streams_max();
    sample.ingest_bytes_in_flight = store.ingest_budget().used();
    sample.ingest_bytes_max = store.ingest_budget().bytes_max();
    sample.event_watchers = store.events().watchers();
    const WindowTable::Stats held = windows.stats();
    sample.windows = held.windows;
    sample.windows_max = config.windows_max;
    sample.window_bytes = held.bytes;
    sample.window_bytes_max = held.bytes_max;
    sample.draining = store.draining();
    sample.tenants = store.TenantSamples();
    return sample;
  }

  const Config config;
  const std::unique_ptr<RealClock> clock_owned;  // the SSD tier was opened with it
  const Clock& clock = *clock_owned;
  Metrics metrics;
  std::unique_ptr<HostArena> arena;
  MemoryTier dram;
  std::unique_ptr<DeviceArena> hbm_arena;
  std::optional<DeviceTier> hbm;
  OpenedSsd ssd;
  std::unique_ptr<DeviceCoder> coder;  // until the encoder has it
  std::optional<DeviceEncoder> encoder;
  Store store;
  StreamGate gate;
  WindowTable windows;
  TransportPool transport;  // after the windows: what it still runs holds some
  Backend backend;
  CacheService cache;
  WindowsService windows_service;
  AdminService admin;
  std::string listen;
  std::unique_ptr<grpc::Server> grpc_server;
  std::unique_ptr<ShmListener> shm;
  std::unique_ptr<UcxListener> ucx;
  std::unique_ptr<HttpEndpoint> http;
  std::unique_ptr<Janitor> janitor;
  std::once_flag drained;
};

absl::StatusOr<std::unique_ptr<DeviceArena>> CudaHbm(uint64_t bytes) {
  return CreateCudaArena({.bytes = bytes});
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, const HbmFactory& hbm) {
  if (const absl::Status status = config.Validate(); !status.ok()) return status;
  auto arena =
      HostArena::Create({.bytes = config.dram_bytes, .huge_pages = config.dram_huge_pages});
  if (!arena.ok()) return arena.status();
  auto clock = std::make_unique<RealClock>();
  auto lower = OpenLowerTiers(config, hbm, *clock);
  if (!lower.ok()) return lower.status();
  auto state =
      std::make_unique<State>(config, *std::move(arena), std::move(clock), *std::move(lower));
  if (const Migrate* migrate = state->store.migrate();
      migrate != nullptr && !migrate->recovered().ok()) {
    return migrate->recovered();
  }
  State* const shared = state.get();
  state->metrics.SetGaugeSource([shared] { return shared->SampleGauges(); });

  if (config.shm) {
    auto shm = ShmListener::Start(LocalSocketName(state->backend.instance_id), config.windows_max,
                                  state->windows, state->clock, state->OpenWindowCalls());
    if (!shm.ok()) return shm.status();
    state->shm = *std::move(shm);
    state->backend.shm_socket = state->shm->name();
  }
  if (!config.ucx_listen.empty()) {
    auto ucx = UcxListener::Start({.listen = config.ucx_listen,
                                   .transports = config.ucx_transports,
                                   .windows_max = config.windows_max},
                                  state->windows, state->clock, state->OpenWindowCalls());
    if (!ucx.ok()) return ucx.status();
    state->ucx = *std::move(ucx);
    state->backend.ucx = state->ucx.get();
  }

  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(config.listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&state->cache);
  builder.RegisterService(&state->windows_service);
  builder.RegisterService(&state->admin);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                             0);  // a second server on the port must fail, not share it
  // gRPC checks a message's size only after it has inflated it: a small request could cost a
  // gigabyte.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  state->grpc_server = builder.BuildAndStart();
  if (state->grpc_server == nullptr || port == 0) {
    return InvalidField("listen", config.listen, "an address of this host whose port is free");
  }
  state->listen = config.listen.substr(0, config.listen.rfind(':') + 1) + std::to_string(port);

  auto http =
      HttpEndpoint::Start(config.metrics_listen, {[shared] { return shared->metrics.Scrape(); },
                                                  [shared] { return !shared->store.draining(); }});
  if (!http.ok()) return http.status();
  state->http = *std::move(http);
  state->janitor = std::make_unique<Janitor>(state->store, state->gate, state->ucx.get());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  Drain();
  state_->http.reset();
  state_->janitor.reset();
  state_->grpc_server.reset();
  state_->shm.reset();
  state_->ucx.reset();
  state_->windows.CloseAll();
  state_->store.leases().ReleaseAll();
  state_->store.StopMigrate();
  const auto give_up = std::chrono::steady_clock::now() + kLastPinsTimeout;
  const bool ended = AwaitUntil(give_up, [this] {
    return state_->open_streams() == 0 && state_->store.blocks().stats().pinned_blocks == 0;
  });
  LARDER_CHECK(ended);
}

const std::string& Server::listen() const { return state_->listen; }
const std::string& Server::metrics_listen() const { return state_->http->address(); }

void Server::Drain() {
  std::call_once(state_->drained, [this] {
    const auto timeout = state_->config.drain_timeout;
    const TimePoint begun = state_->clock.Now();
    state_->store.Drain();
    state_->grpc_server->Shutdown(std::chrono::system_clock::now() + timeout);
    state_->grpc_server->Wait();
    // And the calls over windows' own connections, as long as it would have waited for those of gRPC.
    AwaitUntil(std::chrono::steady_clock::now() + (begun + timeout - state_->clock.Now()),
               [this] { return state_->open_streams() == 0; });
    // Half of the time is the blocks' own, however long the calls took.
    const TimePoint now = state_->clock.Now();
    state_->store.DemoteAll(std::max(begun + timeout, now + timeout / 2));
  });
}

}  // namespace larder::server
