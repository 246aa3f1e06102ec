// Every metric of the server, in one place. Label values come from enums or from registered space
// names (bounded by kSpaceSeriesMax), never from keys or paths; label sets are resolved once, so
// counting is a few atomic adds (a histogram: one short lock).
//
// Thread-safe. Metrics are named larder_<noun>_<unit>[_total] in base units. The hit rate of the
// last five minutes, weighted by tokens:
//   sum(rate(larder_hit_tokens_total[5m])) / sum(rate(larder_lookup_tokens_total[5m]))
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/contract/outcomes.h"
#include "server/base/plane.h"
#include "server/base/tier_usage.h"

namespace larder::server {

enum class Method : uint8_t {
  kCapabilities,
  kRegisterManifest,
  kLookup,
  kPut,
  kGet,
  kRelease,
  kRenew,
  kRetain,
  kWatchEvents,
  kAdmin,
  kOpenWindow,
  kCloseWindow,
  kGetToWindow,
  kPutFromWindow
};
inline constexpr int kMethods = 14;

enum class RemovalReason : uint8_t {
  kPressure = 0,
  kExpired = 1,
  kOperator = 2,
  kQuarantined = 3,
  kReplaced = 4,  // by a copy of higher fidelity
  kLost = 5,      // with the device whose memory held it
};
inline constexpr int kRemovalReasons = 6;

// What became of a block that was to be encoded on a device; on all but the first the CPU encoded it.
enum class DeviceEncodeEnd : uint8_t {
  kDone = 0,
  kBusy = 1,    // no slot was free
  kUnfit = 2,   // its shape or size is not one that the device takes
  kFailed = 3,
  kLate = 4,
  kDiffers = 5,  // other bytes than the CPU's
};
inline constexpr int kDeviceEncodeEnds = 6;

// Spaces with series of their own, 14 each. Later ones share the label "other": a fleet with more
// spaces than this reads sums, and a scrape must stay near a megabyte even with long names.
inline constexpr size_t kSpaceSeriesMax = 256;

// Token counters of one space, resolved at registration.
class SpaceMetrics;

// One configured tenant, or "*" for all others together.
struct TenantSample {
  std::string tenant;
  uint64_t used_bytes = 0;
  std::optional<uint64_t> quota_bytes;
  uint64_t reserve_bytes = 0;
  uint64_t ssd_used_bytes = 0;  // of blocks there alone; the limits are of these
  std::optional<uint64_t> ssd_quota_bytes;
  uint64_t ssd_reserve_bytes = 0;
  uint64_t evicted_blocks = 0;  // since the start, like the next
  uint64_t no_room_blocks = 0;
};

// Fills and budgets, read at scrape time.
struct GaugeSample {
  TierUsage dram;
  std::optional<HbmSample> hbm;
  std::optional<SsdSample> ssd;
  uint64_t blocks = 0;
  uint64_t blocks_max = 0;
  uint64_t pinned_blocks = 0;
  uint64_t leases = 0;
  uint64_t spaces = 0;
  uint64_t put_streams = 0;
  uint64_t get_streams = 0;
  uint64_t streams_max = 0;
  uint64_t ingest_bytes_in_flight = 0;
  uint64_t ingest_bytes_max = 0;
  uint64_t event_watchers = 0;
  uint64_t windows = 0;
  uint64_t windows_max = 0;
  uint64_t window_bytes = 0;
  uint64_t window_bytes_max = 0;
  bool draining = false;
  std::vector<TenantSample> tenants;  // none without configured tenants
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  // The returned object lives as long as this. Label "space" is "<tenant>/<model>/<group>"; spaces
  // that differ elsewhere (layout, shard) share it, and the object.
  SpaceMetrics* AddSpace(std::string_view tenant, std::string_view model, std::string_view group);

  // One lookup: query_tokens asked, `hits` of them found, the rest missed because of `reason`. When
  // all were found, `reason` is not looked at.
  void CountLookup(SpaceMetrics* space, uint64_t query_tokens, const TierTokens& hits,
                   MissReason reason);
  // One block of a put. Bytes count only when it was stored, so that raw / ingested bytes is the
  // compression ratio of what is kept.
  void CountPutBlock(PutOutcome outcome, uint64_t frame_bytes, uint64_t raw_bytes);
  // One block that was encoded on ingest: streams that the plan's codec took, streams whose values
  // did not fit it and stay raw, and the time it took.
  void CountEncode(uint32_t coded_streams, uint32_t fallback_streams, double seconds);
  void CountDeviceEncode(DeviceEncodeEnd end);
  void CountGetHit(uint64_t frame_bytes);
  void CountGetMiss(MissReason reason);
  // One block that ended its way to or from a client, and the bytes of it that arrived whole.
  void CountTransfer(PlaneKind plane, TransferEnd end, uint64_t bytes);
  // Band of the priority: 0-19, 20-39, 40-59, 60-79, 80-100.
  void CountRemoval(RemovalReason reason, uint8_t priority);
  // One finished call; grpc_code as in grpc::StatusCode, 0 to 16 (others count as UNKNOWN). The
  // codes that a faulty peer or link causes (INVALID_ARGUMENT, OUT_OF_RANGE, DATA_LOSS,
  // UNIMPLEMENTED) also count as wire errors.
  void CountRequest(Method method, int grpc_code, double seconds);

  // Called on every scrape, on the scraper's thread, until this object is gone. Set once, before
  // Scrape is called.
  void SetGaugeSource(std::function<GaugeSample()> source);

  // Prometheus text exposition format 0.0.4.
  std::string Scrape();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CPU seconds (user + system) and resident bytes of this process; 0 when the kernel does not say.
double ProcessCpuSeconds();
uint64_t ProcessResidentBytes();

}  // namespace larder::server
