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
#include "kernels/format/kv_layout.h"
#include "proto/contract/block_key.h"
#include "proto/contract/outcomes.h"

namespace larder {

namespace v1 {
class Manifest;
class CapabilitiesResponse;
}  // namespace v1

using Milliseconds = std::chrono::milliseconds;

struct ClientOptions {
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
  KvShape shape;  // of a full block
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
// so that no call has to wait for that.
struct PutBlock {
  PrefixHash hash;
  PrefixHash parent;  // empty for the first block of a chain
  uint64_t token_begin = 0;
  uint32_t tokens = 0;  // 0: a full block
  std::shared_ptr<const std::byte> raw;
  uint64_t raw_bytes = 0;
  Retention retention;
};

struct PutResult {
  PutOutcome outcome = PutOutcome::kUnspecified;
  std::string message;
  uint64_t frame_bytes = 0;  // as stored; 0 unless stored
};

// One block to fetch into caller memory. `destination` must hold a full raw block (RawBytes of the
// space's shape) and stay valid until the call ends; nothing is written to it afterwards.
struct GetBlock {
  PrefixHash hash;
  std::span<std::byte> destination;
};

struct GetOptions : CallOptions {
  Fidelity fidelity_min = Fidelity::kUnspecified;
  std::string lease_id;
  bool keep_frame_header = false;  // fill GetResult::frame_header
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
};

struct PutOptions : CallOptions {
  // How the server stores the blocks: a plan that Capabilities lists. Empty: its own for the model.
  std::string codec;
};

class Client {
 public:
  // Checks the address and the server's contract version. INVALID_ARGUMENT, UNAVAILABLE (server not
  // there within the timeout), FAILED_PRECONDITION (another major version, or a chained hash that
  // differs from ours).
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
