// The Larder client library: the calls an engine makes, over gRPC, with every byte verified here.
//
//   auto client = larder::Client::Connect({.address = "127.0.0.1:7440"});
//   auto space = (*client)->Register(manifest, "default");
//   auto found = (*client)->Lookup(*space, hashes, {.lease_ttl = std::chrono::seconds(30)});
//   auto got = (*client)->Get(*space, wanted, {.lease_id = found->lease_id});
//   (*client)->Release(found->lease_id).IgnoreError();  // the lease ends by itself otherwise
//   auto put = (*client)->Put(*space, missing, {});
//
// Every call has a deadline (CallOptions) and ends by then. UNAVAILABLE and RESOURCE_EXHAUSTED are
// retried inside it, with exponential back-off and full jitter; a server that has forgotten a space
// (restart) is told the manifest again. Nothing else is retried. A miss, or a block that could not
// be stored, is a result, not an error; a Status is about the whole call.
//
// Asynchronous forms call `done` exactly once, on a library thread; it must not block. The
// synchronous forms wait for it. Thread-safe. Destroying the client cancels what is in flight and
// waits for every `done`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/codec/device/frame_plan.h"
#include "kernels/codec/rope_params.h"
#include "kernels/format/kv_layout.h"
#include "proto/contract/block_key.h"
#include "proto/contract/outcomes.h"

namespace larder {

namespace v1 {
class Manifest;
class CapabilitiesResponse;
}  // namespace v1

class DeviceMemory;  // device_memory.h

using Milliseconds = std::chrono::milliseconds;

// How payload travels. kAuto takes the fastest that server and place allow: shared memory on the server's
// host, else UCX where both have it, else gRPC. The others insist: Connect fails when they can not be had.
enum class PlaneChoice : uint8_t { kAuto, kInline, kShm, kUcx };
enum class PlaneKind : uint8_t { kInline = 0, kShm = 1, kUcx = 2 };
struct PlaneStatus;
std::string_view PlaneName(PlaneKind plane);  // "inline", "shm", "ucx"

// The memory that client and server share for transfers. Blocks pass through it, and views of gets and blocks
// from AllocateBlock stay in it; what does not fit travels inline, and is counted.
struct WindowOptions {
  // Address space; pages are used when blocks first come through them.
  uint64_t bytes = uint64_t{256} << 20;
  // Take all pages at Connect: the first gets are as fast as later ones.
  bool touch = false;
};

struct ClientOptions {
  PlaneChoice plane = PlaneChoice::kAuto;
  WindowOptions window;
  // UCX transports of the plane "ucx", as in UCX_TLS; some must be the server's too.
  std::string ucx_transports = "tcp";
  // A GPU whose memory gets may end in and puts may begin in; its window is pinned at Connect.
  std::shared_ptr<DeviceMemory> device = nullptr;
  // Told when calls begin to take another plane than before: a window was lost, or another one opened. On the thread of
  // the call that notices; must be quick and not call this client. Connect tells nothing: ask Client::plane().
  std::function<void(const PlaneStatus&)> on_plane_change = nullptr;
  std::string address = "127.0.0.1:7440";
  // Names this process for the server's lease cap; random when empty.
  std::string client_id;
  // Further attempts of one call after RESOURCE_EXHAUSTED; after UNAVAILABLE the deadline is the
  // bound. 0 turns retries off.
  int retries_max = 4;
  Milliseconds backoff_first{20};
  Milliseconds backoff_max{1000};
  // Seed of the back-off jitter; 0 takes one from the system.
  uint64_t jitter_seed = 0;
};

struct CallOptions {
  Milliseconds timeout{10'000};
};

// A registered space: what Lookup, Put and Get are about. A value; keep it as long as you like.
struct Space {
  SpaceId id = 0;
  Digest digest{};
  Digest manifest_digest{};
  std::string group;
  KvShape shape;    // of a full block
  RopeParams rope;  // of the model
};

struct LookupOptions : CallOptions {
  Fidelity fidelity_min = Fidelity::kUnspecified;
  // Zero: no lease.
  Milliseconds lease_ttl{0};
};

struct ResidentBlock {
  uint8_t tier = 0;
  uint16_t codec_id = 0;
  uint64_t frame_bytes = 0;
};

struct LookupResult {
  std::vector<ResidentBlock> blocks;  // the contiguous prefix
  MissReason miss_reason = MissReason::kNone;
  std::string lease_id;  // empty without a lease
  Milliseconds lease_ttl{0};
};

struct Retention {
  std::optional<uint32_t> priority;
  Milliseconds priority_duration{0};  // zero: for ever
  Milliseconds ttl{0};                // zero: never expires
};

// Raw bytes of one block in kv_layout.h order. `raw` is read by the transport until its last owner
// is gone, which may be after the call has ended (a peer that stopped reading): ownership is shared
// so that no call has to wait for that. Memory of the client's device is copied to the host first, before
// PutAsync returns; what computes it must have ended.
struct PutBlock {
  PrefixHash hash;
  PrefixHash parent;  // empty for the first block of a chain
  uint64_t token_begin = 0;
  uint32_t tokens = 0;  // 0: a full block
  std::shared_ptr<const std::byte> raw;
  uint64_t raw_bytes = 0;
  Retention retention;
  // In place of `raw` and `raw_bytes`: rows in memory of the client's device, as its engine lays them out, of a block of
  // attention or latents. Steps and addresses are multiples of 16 bytes. They and their page table stay as they are
  // until the call ends.
  std::optional<BlockRows> rows;
};

struct PutResult {
  PutOutcome outcome = PutOutcome::kUnspecified;
  std::string message;
  uint64_t frame_bytes = 0;  // as stored; 0 unless stored
  bool durable = false;      // asked for and given
};

// When a put's results come: when its blocks are readable, or when they also survive kill -9.
enum class Durability : uint8_t { kMemory = 1, kSsd = 2 };

// One block to fetch into caller memory. `destination` must hold a full raw block (RawBytes of the
// space's shape) and stay valid until the call ends; nothing is written to it afterwards. Empty: the
// result brings a view. It may be memory of the client's device: the block crosses as it is stored, is expanded
// there, and stands there when the call ends. A call that a device does not end fails with UNAVAILABLE within 50 ms of its
// deadline; such a device may still write. GetAsync of such blocks takes a thread of its own.
struct GetBlock {
  PrefixHash hash;
  std::span<std::byte> destination;
  // In place of `destination`: where the rows belong in memory of the client's device (PutBlock::rows). Those of the
  // block's tokens are written, no other byte. Rows at one place or a table too short: INVALID_ARGUMENT. A block for
  // which the device has no room is a miss, kBusy.
  std::optional<BlockRows> rows = std::nullopt;
};

struct GetOptions : CallOptions {
  Fidelity fidelity_min = Fidelity::kUnspecified;
  std::string lease_id;
  bool keep_frame_header = false;  // fill GetResult::frame_header
  // Called, in order, whenever more layers of a block stand verified in its destination: block's position
  // in the call, layers ready from the first on. On a library thread, or on the caller's within a synchronous
  // Get; it must not block. A block that turns out damaged is told again from 0 when it is fetched again. Through a
  // window only a synchronous Get has a thread that can tell before the answer; GetAsync tells with it. Of blocks in
  // device memory it is told at the end of the call, all layers at once.
  std::function<void(size_t block, uint32_t layers_ready)> on_layers;
};

struct GetResult {
  bool hit = false;
  MissReason miss_reason = MissReason::kNone;
  uint64_t raw_bytes =
      0;  // written to destination; on a miss the destination's content is unspecified
  uint32_t tokens = 0;
  uint64_t frame_bytes = 0;
  Fidelity fidelity =
      Fidelity::kUnspecified;           // below kExact: the bytes are the codec's, not the put's
  std::vector<std::byte> frame_header;  // the header region, for FrameView::Parse
  // Of a block without destination: the verified raw bytes, where they landed: in the window when the block
  // stands there as it is (raw_bytes of them, no copy was made), else in memory of their own. They stay as long
  // as `owner` lives; hold few for long, they take the window's room.
  std::span<const std::byte> view;
  std::shared_ptr<const void> owner;
};

// Which plane a client uses, and what passed over each.
struct PlaneStatus {
  PlaneKind plane = PlaneKind::kInline;
  std::string reason;  // why this one
  uint64_t window_bytes = 0;
  uint64_t window_used_bytes = 0;
  // Calls by the plane that they took; over a window that had no room they went inline.
  uint64_t window_calls = 0;
  uint64_t inline_calls = 0;
  uint64_t windows_opened = 0;
};

struct PrefixOptions : GetOptions {
  // Zero: no lease.
  Milliseconds lease_ttl{0};
};

struct PrefixResult {
  std::vector<GetResult> blocks;               // the contiguous prefix of hits
  MissReason miss_reason = MissReason::kNone;  // of the block behind it
  std::string lease_id;
};

enum class EncodeAt : uint8_t {
  kServer,
  // Here, on the thread that sends, one block at a time: the wire carries compressed bytes and the server
  // only checks them. Needs PutOptions::codec; what the server's configuration says of sinks and of single
  // layers does not reach here, PutOptions' own fields do.
  kClient,
};

struct PutOptions : CallOptions {
  // How the blocks are stored: a plan that Capabilities lists. Empty: the server's own for the model.
  std::string codec;
  Durability durability = Durability::kMemory;
  EncodeAt encode_at = EncodeAt::kServer;
  // With kClient: BlockRecipe::sinks, and under a plan below near the first and last layers that are fp8.
  uint16_t sinks = 4;
  uint16_t edge_layers = 2;
};

class Client {
 public:
  // Checks the address and the server's contract version. INVALID_ARGUMENT, UNAVAILABLE (server not
  // there within the timeout), FAILED_PRECONDITION (another major version, or a chained hash that
  // differs from ours, or a plane that was insisted on can not be had).
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options,
                                                         const CallOptions& call = {});
  ~Client();

  absl::StatusOr<v1::CapabilitiesResponse> Capabilities(const CallOptions& call = {});

  // Every group of the manifest as a space, in the manifest's order.
  absl::StatusOr<std::vector<Space>> Register(const v1::Manifest& manifest, std::string_view tenant,
                                              const CallOptions& call = {});

  absl::StatusOr<LookupResult> Lookup(const Space& space, std::span<const PrefixHash> hashes,
                                      const LookupOptions& options = {});
  void LookupAsync(const Space& space, std::span<const PrefixHash> hashes,
                   const LookupOptions& options,
                   std::function<void(absl::StatusOr<LookupResult>)> done);

  // One result per block, in order. Blocks of one chain go in one call, parents first.
  absl::StatusOr<std::vector<PutResult>> Put(const Space& space, std::span<const PutBlock> blocks,
                                             const PutOptions& options = {});
  void PutAsync(const Space& space, std::span<const PutBlock> blocks, const PutOptions& options,
                std::function<void(absl::StatusOr<std::vector<PutResult>>)> done);

  // One result per block, in order.
  absl::StatusOr<std::vector<GetResult>> Get(const Space& space, std::span<const GetBlock> blocks,
                                             const GetOptions& options = {});
  void GetAsync(const Space& space, std::span<const GetBlock> blocks, const GetOptions& options,
                std::function<void(absl::StatusOr<std::vector<GetResult>>)> done);

  // Lookup and Get in one round trip, where the plane allows: the longest resident prefix of `blocks`, leased
  // when asked for.
  absl::StatusOr<PrefixResult> GetPrefix(const Space& space, std::span<const GetBlock> blocks,
                                         const PrefixOptions& options = {});

  // Memory for one block that puts can be read from without a copy, because it lies in the window; ordinary
  // memory when the window has no room or there is none. 64-byte aligned. May outlive the client.
  std::shared_ptr<std::byte> AllocateBlock(uint64_t bytes);

  PlaneStatus plane() const;

  absl::StatusOr<bool> Release(std::string_view lease_id, const CallOptions& call = {});
  absl::StatusOr<Milliseconds> Renew(std::string_view lease_id, Milliseconds ttl,
                                     const CallOptions& call = {});
  // Blocks that were resident and now have this retention.
  absl::StatusOr<uint32_t> Retain(const Space& space, std::span<const PrefixHash> hashes,
                                  const Retention& retention, const CallOptions& call = {});

 private:
  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace larder
