#include "server/base/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "server/base/check.h"
#include "server/base/metrics_sampled.h"
#include "server/base/mutex.h"

namespace larder::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricType;

constexpr std::array<const char*, kMethods> kMethodNames = {
    "Capabilities", "RegisterManifest", "Lookup",      "Put",   "Get",        "Release",
    "Renew",        "Retain",           "WatchEvents", "Admin", "OpenWindow", "CloseWindow",
    "GetToWindow",  "PutFromWindow"};
constexpr std::array<const char*, kPlanes> kPlaneNames = {"inline", "shm", "ucx"};
constexpr std::array<const char*, kDeviceEncodeEnds> kDeviceEncodeEndNames = {
    "done", "busy", "unfit", "failed", "late", "differs"};
constexpr std::array<const char*, kTransferEnds> kTransferEndNames = {"done", "over_deadline",
                                                                      "peer_gone", "failed"};
constexpr std::array<const char*, kRemovalReasons> kRemovalReasonNames = {
    "pressure", "expired", "operator", "quarantined", "replaced", "lost"};
constexpr std::array<const char*, 5> kPriorityBandNames = {"0-19", "20-39", "40-59", "60-79",
                                                           "80-100"};
constexpr uint8_t kPriorityBandWidth = 20;

constexpr int kGrpcCodes = 17;
constexpr int kGrpcUnknown = 2;
constexpr std::array<const char*, kGrpcCodes> kGrpcCodeNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
constexpr std::array<int, 4> kWireErrorCodes = {3, 11, 12, 15};


template <size_t N>
using Counters = std::array<Counter*, N>;

Family<Counter>& CounterFamily(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

Counter* PlainCounter(prometheus::Registry& registry, const char* name, const char* help) {
  return &CounterFamily(registry, name, help).Add({});
}

// One counter per value of an enum: `name_of(i)` is the value of `label` for the enum's i.
template <size_t N, typename NameOf>
Counters<N> Resolve(Family<Counter>& family, prometheus::Labels labels, const char* label,
                    NameOf name_of) {
  Counters<N> counters;
  for (size_t i = 0; i < N; ++i) {
    labels[label] = std::string(name_of(i));
    counters[i] = &family.Add(labels);
  }
  return counters;
}

std::string_view MissReasonNameAt(size_t i) { return MissReasonName(static_cast<MissReason>(i)); }
std::string_view PutOutcomeNameAt(size_t i) { return PutOutcomeName(static_cast<PutOutcome>(i)); }

}  // namespace

class SpaceMetrics {
 public:
  Counter* lookup_tokens;
  Counters<kTiers> hit_tokens;
  Counters<kMissReasons> miss_tokens;
};

struct Metrics::State {
  State();

  prometheus::Registry registry;

  Family<Counter>& lookup_tokens =
      CounterFamily(registry, "larder_lookup_tokens_total", "Tokens asked for by lookups.");
  Family<Counter>& hit_tokens = CounterFamily(
      registry, "larder_hit_tokens_total", "Tokens that lookups found, by the tier they are in.");
  Family<Counter>& miss_tokens =
      CounterFamily(registry, "larder_miss_tokens_total",
                    "Tokens that lookups missed, by the reason of the first missing block.");
  Mutex spaces_mutex;
  std::map<std::string, std::unique_ptr<SpaceMetrics>> spaces ABSL_GUARDED_BY(spaces_mutex);

  Counters<kPutOutcomes> put_blocks;
  Counter* ingest_bytes = PlainCounter(registry, "larder_ingest_bytes_total",
                                       "Frame bytes of blocks that were stored.");
  Counter* ingest_raw_bytes = PlainCounter(registry, "larder_ingest_raw_bytes_total",
                                           "Uncompressed bytes of blocks that were stored.");
  Counter* encode_coded_streams =
      PlainCounter(registry, "larder_encode_coded_streams_total", "Streams that a codec took.");
  Counter* encode_fallback_streams =
      PlainCounter(registry, "larder_encode_fallback_streams_total",
                   "Streams kept raw because their values did not fit the plan's codec.");
  Counters<kDeviceEncodeEnds> device_encodes;
  Counter* encode_seconds = PlainCounter(registry, "larder_encode_seconds_total",
                                         "Time spent encoding blocks on ingest.");
  Counter* get_hit_blocks =
      PlainCounter(registry, "larder_get_hit_blocks_total", "Blocks that gets returned.");
  Counter* egress_bytes =
      PlainCounter(registry, "larder_egress_bytes_total", "Frame bytes that gets returned.");
  Counters<kMissReasons> get_miss_blocks;
  std::array<Counters<kTransferEnds>, kPlanes> transfers;
  Counters<kPlanes> transfer_bytes;
  std::array<Counters<kPriorityBandNames.size()>, kRemovalReasons> removed_blocks;
  std::array<Counters<kGrpcCodes>, kMethods> requests;
  std::array<Histogram*, kMethods> request_seconds;
  Counters<kGrpcCodes> wire_errors{};  // null for codes that are no wire error

  std::function<GaugeSample()> gauge_source;
};

Metrics::State::State() {
  put_blocks = Resolve<kPutOutcomes>(
      CounterFamily(registry, "larder_put_blocks_total", "Blocks of puts, by what became of them."),
      {}, "outcome", PutOutcomeNameAt);
  get_miss_blocks = Resolve<kMissReasons>(CounterFamily(registry, "larder_get_miss_blocks_total",
                                                        "Blocks that gets missed, by reason."),
                                          {}, "reason", MissReasonNameAt);
  auto& removed = CounterFamily(registry, "larder_removed_blocks_total",
                                "Blocks that left the cache, by reason and priority.");
  for (size_t i = 0; i < removed_blocks.size(); ++i) {
    removed_blocks[i] = Resolve<kPriorityBandNames.size()>(
        removed, {{"reason", kRemovalReasonNames[i]}}, "priority_band",
        [](size_t band) { return kPriorityBandNames[band]; });
  }

  device_encodes = Resolve<kDeviceEncodeEnds>(
      CounterFamily(registry, "larder_encode_device_blocks_total",
                    "Blocks meant for a device; all but \"done\" the CPU encoded."),
      {}, "end", [](size_t end) { return kDeviceEncodeEndNames[end]; });

  auto& transfers_family = CounterFamily(registry, "larder_transfers_total",
                                         "Blocks moved to or from clients, by plane and end.");
  for (size_t i = 0; i < transfers.size(); ++i) {
    transfers[i] = Resolve<kTransferEnds>(transfers_family, {{"plane", kPlaneNames[i]}}, "end",
                                          [](size_t end) { return kTransferEndNames[end]; });
  }
  transfer_bytes = Resolve<kPlanes>(
      CounterFamily(registry, "larder_transfer_bytes_total",
                    "Frame bytes that arrived whole at a client or here, by plane."),
      {}, "plane", [](size_t plane) { return kPlaneNames[plane]; });

  auto& finished =
      CounterFamily(registry, "larder_requests_total", "Finished calls, by gRPC status code.");
  auto& seconds = prometheus::BuildHistogram()
                      .Name("larder_request_duration_seconds")
                      .Help("Calls from first byte to status.")
                      .Register(registry);
  const auto code_name = [](size_t code) { return kGrpcCodeNames[code]; };
  // From an index hit (tens of microseconds) over a 64 MiB block on a slow link to a call that
  // outlived every sane deadline.
  const Histogram::BucketBoundaries bounds = {25e-6,  50e-6, 100e-6, 250e-6, 500e-6, 1e-3,
                                              2.5e-3, 5e-3,  10e-3,  25e-3,  50e-3,  100e-3,
                                              250e-3, 1,     5,      30};
  for (size_t i = 0; i < requests.size(); ++i) {
    const prometheus::Labels method = {{"method", kMethodNames[i]}};
    requests[i] = Resolve<kGrpcCodes>(finished, method, "code", code_name);
    request_seconds[i] = &seconds.Add(method, bounds);
  }
  auto& wire = CounterFamily(registry, "larder_wire_errors_total",
                             "Calls refused for what arrived: malformed, damaged or unknown.");
  for (const int code : kWireErrorCodes)
    wire_errors[code] = &wire.Add({{"code", kGrpcCodeNames[code]}});

  prometheus::BuildGauge()
      .Name("larder_build_info")
      .Help("Always 1; the version is the label.")
      .Register(registry)
      .Add({{"version", LARDER_VERSION}})
      .Set(1);
}

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

SpaceMetrics* Metrics::AddSpace(std::string_view tenant, std::string_view model,
                                std::string_view group) {
  std::string name;
  name.append(tenant).append("/").append(model).append("/").append(group);
  MutexLock lock(state_->spaces_mutex);
  // "other" has no slash, so no space is ever called that.
  if (!state_->spaces.contains(name) && state_->spaces.size() >= kSpaceSeriesMax) name = "other";
  std::unique_ptr<SpaceMetrics>& space = state_->spaces[name];
  if (space == nullptr) {
    const prometheus::Labels labels = {{"space", name}};
    space = std::make_unique<SpaceMetrics>(SpaceMetrics{
        .lookup_tokens = &state_->lookup_tokens.Add(labels),
        .hit_tokens = Resolve<kTiers>(state_->hit_tokens, labels, "tier",
                                      [](size_t i) {
                                        return TierName(static_cast<TierKind>(i + 1));
                                      }),
        .miss_tokens =
            Resolve<kMissReasons>(state_->miss_tokens, labels, "reason", MissReasonNameAt)});
  }
  return space.get();
}

void Metrics::CountLookup(SpaceMetrics* space, uint64_t query_tokens, const TierTokens& hits,
                          MissReason reason) {
  const uint64_t hit_tokens = hits.sum();
  LARDER_DCHECK(hit_tokens <= query_tokens);
  space->lookup_tokens->Increment(query_tokens);
  for (int tier = 0; tier < kTiers; ++tier) {
    if (hits.tokens[tier] > 0) space->hit_tokens[tier]->Increment(hits.tokens[tier]);
  }
  if (hit_tokens < query_tokens) {
    space->miss_tokens[static_cast<size_t>(reason)]->Increment(query_tokens - hit_tokens);
  }
}

void Metrics::CountPutBlock(PutOutcome outcome, uint64_t frame_bytes, uint64_t raw_bytes) {
  state_->put_blocks[static_cast<size_t>(outcome)]->Increment();
  if (outcome != PutOutcome::kStored) return;
  state_->ingest_bytes->Increment(frame_bytes);
  state_->ingest_raw_bytes->Increment(raw_bytes);
}

void Metrics::CountEncode(uint32_t coded_streams, uint32_t fallback_streams, double seconds) {
  state_->encode_coded_streams->Increment(coded_streams);
  state_->encode_fallback_streams->Increment(fallback_streams);
  state_->encode_seconds->Increment(seconds);
}

void Metrics::CountDeviceEncode(DeviceEncodeEnd end) {
  state_->device_encodes[static_cast<size_t>(end)]->Increment();
}

void Metrics::CountGetHit(uint64_t frame_bytes) {
  state_->get_hit_blocks->Increment();
  state_->egress_bytes->Increment(frame_bytes);
}

void Metrics::CountGetMiss(MissReason reason) {
  state_->get_miss_blocks[static_cast<size_t>(reason)]->Increment();
}

void Metrics::CountTransfer(PlaneKind plane, TransferEnd end, uint64_t bytes) {
  state_->transfers[static_cast<size_t>(plane)][static_cast<size_t>(end)]->Increment();
  if (bytes > 0) state_->transfer_bytes[static_cast<size_t>(plane)]->Increment(bytes);
}

void Metrics::CountRemoval(RemovalReason reason, uint8_t priority) {
  const size_t band =
      std::min<size_t>(priority / kPriorityBandWidth, kPriorityBandNames.size() - 1);
  state_->removed_blocks[static_cast<size_t>(reason)][band]->Increment();
}

void Metrics::CountRequest(Method method, int grpc_code, double seconds) {
  const size_t code = grpc_code >= 0 && grpc_code < kGrpcCodes ? grpc_code : kGrpcUnknown;
  state_->requests[static_cast<size_t>(method)][code]->Increment();
  state_->request_seconds[static_cast<size_t>(method)]->Observe(seconds);
  if (Counter* wire_error = state_->wire_errors[code]) wire_error->Increment();
}

void Metrics::SetGaugeSource(std::function<GaugeSample()> source) {
  state_->gauge_source = std::move(source);
}

std::string Metrics::Scrape() {
  SampledFamilies sampled{state_->registry.Collect()};
  if (state_->gauge_source) AddSample(state_->gauge_source(), sampled);
  sampled.Add(MetricType::Counter, "process_cpu_seconds_total", "User and system CPU time.",
              {{"", ProcessCpuSeconds()}});
  sampled.AddGauge("process_resident_memory_bytes", "Resident set size.", ProcessResidentBytes());
  return prometheus::TextSerializer().Serialize(sampled.families);
}

double ProcessCpuSeconds() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t ProcessResidentBytes() {
  // Pages: total, resident, ... (proc(5), statm).
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> statm(std::fopen("/proc/self/statm", "re"),
                                                        &std::fclose);
  unsigned long long total = 0;
  unsigned long long resident = 0;
  if (statm == nullptr || std::fscanf(statm.get(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace larder::server
