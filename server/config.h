// The server's configuration: one YAML file, flags that mirror its fields one to one and win over
// it, nothing else (no environment). Defaults carry their reason here, limits theirs in
// config_fields.h; deploy/larderd.yaml shows them all.
//
// Every fault is reported at once, file and flags together, one per line: where it is, what was
// found, what is expected, what to do. Errors are INVALID_ARGUMENT. Thread-compatible.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/limits.h"

namespace larder::server {

enum class PolicyKind : uint8_t { kLru, kS3Fifo, kLfuda };

// Where blocks are encoded on ingest.
enum class CodecDevice : uint8_t { kAuto, kCpu, kGpu };

// What blocks may take of an SSD tier of this size. The rest stays free: reclaim must find segments that are
// mostly dead, or it writes what it keeps. On the conversation trace 1.10 bytes are written per byte kept with a
// quarter free; 1.13 with a sixth, 1.19 with a twelfth.
inline constexpr uint64_t SsdRoomBytes(uint64_t ssd_bytes) { return ssd_bytes - ssd_bytes / 4; }

// What one tenant may hold, and what nobody else may take from it.
struct TenantBudget {
  std::string tenant;
  std::optional<uint64_t> quota_bytes;  // none: no bound but the tier's
  uint64_t reserve_bytes = 0;
  // Of blocks on SSD alone, with their records.
  std::optional<uint64_t> ssd_quota_bytes;
  uint64_t ssd_reserve_bytes = 0;

  bool operator==(const TenantBudget&) const = default;
};

struct Config {
  // Loopback only until the server speaks mTLS. Port 0 picks a free one.
  std::string listen = "127.0.0.1:7440";
  std::string metrics_listen = "127.0.0.1:7441";
  // Hard budget of the DRAM tier. 1 GiB runs anywhere; a serving host gives most of its free
  // memory.
  uint64_t dram_bytes = uint64_t{1} << 30;
  // Ask for transparent huge pages. Off by default: first touch is several times slower, steady
  // state a little faster.
  bool dram_huge_pages = false;
  PolicyKind policy = PolicyKind::kLru;
  // Hard budget of the HBM tier, in the memory of the CUDA device 0 (CUDA_VISIBLE_DEVICES chooses which that
  // is). 0: no such tier; engines want the whole device as a rule.
  uint64_t hbm_bytes = 0;
  // "DIR[,DIR]": one directory per device, several are one tier. Empty: no SSD tier, and nothing
  // survives a restart.
  std::string ssd_path;
  // Hard budget of the SSD tier over all directories, catalog included. A quarter of it stays free for reclaim.
  uint64_t ssd_bytes = uint64_t{64} << 30;
  // Write only blocks that were used again or have more than the default priority. Off: a chat's next turn
  // comes after its blocks have left memory, so most hits need the first write.
  bool ssd_second_use = false;
  // Bytes a day that may be written, everything counted; 0: no limit. A device of 1 TB rated for one
  // write of itself a day lasts its rated life with 1 TB.
  uint64_t ssd_write_bytes_per_day = 0;
  // Background verification. 16 MiB/s reads 1.3 TiB a day and costs below 1 % of one core.
  uint64_t ssd_scrub_bytes_per_second = uint64_t{16} << 20;
  // Memory of frames that are read from SSD, until they are sent. Without any left a get is a miss.
  uint64_t ssd_staging_bytes = uint64_t{128} << 20;
  // Concurrent Put and Get streams; beyond it calls are refused with RESOURCE_EXHAUSTED. A stream
  // holds at most one chunk of memory.
  uint32_t streams_max = 256;
  // Bytes reserved by puts that are not yet whole; bounds what slow or dead writers can hold back
  // from the cache. At most half of dram_bytes is ever used.
  uint64_t ingest_bytes_max = uint64_t{256} << 20;
  // A put stream that brings nothing for this long is ended: a stopped client must not hold its
  // reservation.
  std::chrono::milliseconds stream_idle_timeout{10'000};
  // Live leases over all clients; one entry is about 100 bytes and 4 per pinned block.
  uint32_t leases_max = 65'536;
  // What the contract announces; lower it when one client must not starve the others.
  uint32_t leases_per_client_max = kLeasesPerClientMax;
  // After SIGTERM: time for calls in flight to end before they are cancelled. Well under the 30 s
  // that Kubernetes waits.
  std::chrono::milliseconds drain_timeout{10'000};
  // Offer windows of shared memory to clients of this host.
  bool shm = true;
  // Where clients connect for the plane "ucx"; empty: it is not offered. Off by default, because UCX aborts on
  // malformed bytes at its ports (transport/FORMAT.md). Loopback only, like listen.
  std::string ucx_listen;
  // As UCX_TLS; of what it allows the listener's connections take TCP (transport/FORMAT.md, Downsides).
  std::string ucx_transports = "tcp";
  // Windows over all clients and planes, and of one client; each holds a connection and a mapping. A worker needs
  // one, and a second while it replaces it.
  uint32_t windows_max = 256;
  uint32_t windows_per_client_max = 8;
  // Memory of one window and of all. It is the clients' memory, mapped here: address space and page tables (0.2 %).
  uint64_t window_bytes_max = uint64_t{4} << 30;
  uint64_t windows_bytes_max = uint64_t{64} << 30;
  // Threads that copy between slabs and windows. One core copies 10 to 25 GB/s, so two saturate most hosts' memory.
  uint32_t transport_threads = 2;
  // How blocks are stored (kernels/codec/registry.h has the names). fp8 halves every block at an error
  // below what serving engines accept everywhere; raw keeps the exact bytes.
  std::string codec = "fp8";
  // "MODEL=PLAN,MODEL=PLAN": plans of models that were tried at a lower fidelity, or need a higher.
  std::string codec_by_model;
  // "[MODEL/]LAYERS=PLAN,...": plans of single layers, counted from the model's first, like "0-1+31=raw" or
  // "llama/5=fp8"; a model's own rows go before those of all models. How sensitive layers differ is known per
  // model only, so there is no default.
  std::string codec_layers;
  // How blocks are stored on SSD where that is to be lower, or smaller, than in memory; empty: as in memory. They
  // come back as they lie there. The second names single models, as codec_by_model does, and goes before the first.
  std::string ssd_codec;
  std::string ssd_codec_by_model;
  // Lowest fidelity that a put may ask for: exact, near, balanced or compact. A model whose own plan is
  // lower goes as low as that.
  Fidelity codec_fidelity_min = Fidelity::kNear;
  // kAuto: on the CUDA device 0 when this is a build with CUDA that finds one; kGpu: there, or the server does not start. Blocks
  // that it can not take at once, or fails on, are encoded on the CPU; the bytes are the same.
  CodecDevice codec_device = CodecDevice::kAuto;
  // First tokens of a sequence that stay raw: attention sinks, 4 in the StreamingLLM paper.
  uint32_t codec_sinks = 4;
  // First and last layers that stay near-exact under a plan of lower fidelity: the most sensitive ones.
  uint32_t codec_edge_layers = 2;
  // Tenants with a quota or a reserve of the DRAM or SSD tier. None by default: whoever uses the cache most
  // has most of it.
  std::vector<TenantBudget> tenants;
  // Smallest of: trace, debug, info, warn, error.
  std::string log_level = "info";

  absl::Status Validate() const;
  // The effective configuration, in the file's own syntax: ConfigFromYaml(ToYaml(), {}) gives it
  // back.
  std::string ToYaml() const;

  bool operator==(const Config&) const = default;
};

// Parses `larderd` command lines: --config first, then the other flags over it; validates. Sizes
// take B, KiB, MiB, GiB, TiB. An empty optional means that --help or --version was asked for and
// answered on stdout.
absl::StatusOr<std::optional<Config>> ConfigFromCommandLine(int argc, const char* const* argv);

// Parses YAML text over `base` and validates. Unknown fields are faults.
absl::StatusOr<Config> ConfigFromYaml(const std::string& yaml, const Config& base);

// Tenants as a flag gives them: "NAME=quota_bytes:SIZE+reserve_bytes:SIZE,..."; nullopt when malformed or
// a tenant comes twice.
std::optional<std::vector<TenantBudget>> ParseTenants(std::string_view text);

// Layers [first, last] of `model`, or of every model when that is empty.
struct LayerPlanRow {
  std::string model;
  uint32_t first = 0;
  uint32_t last = 0;
  std::string plan;
};

// The rows of codec_layers, one per range; nullopt when malformed, a plan is unknown, a layer of one model
// comes twice, or there are more than kCodecLayerRowsMax.
std::optional<std::vector<LayerPlanRow>> ParseLayerPlans(std::string_view text);

// The pairs of codec_by_model; nullopt when malformed, a plan is unknown or a model comes twice.
std::optional<std::vector<std::pair<std::string, std::string>>> ParseModelPlans(
    std::string_view text);

}  // namespace larder::server
