#include "client/cli/small_bench.h"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proto/contract/convert.h"
#include "proto/contract/prefix_hash.h"

namespace larder::cli {
namespace {

using Steady = std::chrono::steady_clock;

constexpr Milliseconds kLeaseTtl{1000};

PrefixHash HashOf(const SmallBenchOptions& options, uint64_t number) {
  const std::array<uint32_t, 4> tokens = {
      static_cast<uint32_t>(options.nonce), static_cast<uint32_t>(options.nonce >> 32),
      static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32)};
  return NativeHash({}, tokens);
}

absl::Status Fill(Client& client, const Space& space, const SmallBenchOptions& options) {
  for (uint64_t i = 0; i < options.blocks; ++i) {
    std::shared_ptr<std::byte> raw(new std::byte[options.block_bytes],
                                   std::default_delete<std::byte[]>());
    for (uint64_t at = 0; at < options.block_bytes; ++at) {
      raw.get()[at] = static_cast<std::byte>(i * 31 + at + (at >> 8));
    }
    const PutBlock block{.hash = HashOf(options, i), .raw = raw, .raw_bytes = options.block_bytes};
    const auto stored = client.Put(space, {&block, 1}, {options.call, ""});
    if (!stored.ok()) return stored.status();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunSmallBench(Client& client, const Space& space, const SmallBenchOptions& options,
                           SmallBenchResult* result) {
  if (absl::Status status = Fill(client, space, options); !status.ok()) return status;
  const std::string nobody(kLeaseIdBytes, '\1');
  std::vector<std::byte> destination(options.block_bytes);
  const auto end = Steady::now() + std::chrono::duration<double>(options.seconds);
  for (uint64_t i = 0; Steady::now() < end; ++i) {
    const PrefixHash hash = HashOf(options, i % options.blocks);
    const GetBlock wanted{hash, destination};

    auto begin = Steady::now();
    const auto nothing = client.Release(nobody, options.call);
    result->empty_call.Record(Steady::now() - begin);
    if (!nothing.ok()) return nothing.status();

    LookupOptions lookup;
    lookup.timeout = options.call.timeout;
    lookup.lease_ttl = kLeaseTtl;
    GetOptions get;
    get.timeout = options.call.timeout;
    begin = Steady::now();
    const auto found = client.Lookup(space, {&hash, 1}, lookup);
    if (!found.ok()) return found.status();
    get.lease_id = found->lease_id;
    const auto got = client.Get(space, {&wanted, 1}, get);
    result->lookup_get.Record(Steady::now() - begin);
    if (!got.ok()) return got.status();
    result->misses += !got->front().hit;
    client.Release(found->lease_id, options.call).status().IgnoreError();  // ends by itself

    PrefixOptions prefix;
    prefix.timeout = options.call.timeout;
    prefix.lease_ttl = kLeaseTtl;
    begin = Steady::now();
    const auto both = client.GetPrefix(space, {&wanted, 1}, prefix);
    result->get_prefix.Record(Steady::now() - begin);
    if (!both.ok()) return both.status();
    result->misses += both->blocks.empty();
    client.Release(both->lease_id, options.call).status().IgnoreError();  // ends by itself
  }
  return absl::OkStatus();
}

}  // namespace larder::cli
