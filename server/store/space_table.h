// Registered spaces: one per (tenant, manifest, group). Spaces are never removed, so a pointer to
// one stays valid as long as the table.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "proto/contract/manifest.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/store/block_index.h"
#include "server/store/codec_policy.h"
#include "server/store/tenant_accounts.h"

namespace larder::server {

// Complete once it is registered; before, an awaited space has its slot, its id and counters.
struct SpaceEntry {
  SpaceSlot slot = 0;
  SpaceId id = 0;
  Digest digest{};
  std::string tenant;
  std::string group;
  std::shared_ptr<const Manifest> manifest;
  Digest manifest_digest{};
  KvShape shape;           // of a full block
  uint64_t raw_bytes = 0;  // of a full block
  SpaceMetrics* metrics = nullptr;
  SpaceCodec codec;
  // Of its tenant. Asked for an awaited space too, which is nobody's.
  std::atomic<AccountRef> account = kSharedAccount;
  // It was awaited, and BlockStore::Adopt has not come to it.
  mutable std::atomic<bool> awaited{false};

  // What the operators' table shows; each is a plain counter.
  mutable std::atomic<uint64_t> lookup_tokens{0};
  mutable std::atomic<uint64_t> hit_tokens{0};
  mutable std::atomic<uint64_t> blocks{0};
  mutable std::atomic<uint64_t> stored_bytes{0};
};

// Thread-safe.
class SpaceTable {
 public:
  SpaceTable(const CodecPolicy& codecs, const TenantAccounts& tenants, Metrics& metrics)
      : codecs_(codecs), tenants_(tenants), metrics_(metrics) {}

  // Idempotent. One entry per group, in the manifest's order. RESOURCE_EXHAUSTED at kSpacesMax.
  absl::StatusOr<std::vector<const SpaceEntry*>> Register(std::string_view tenant,
                                                          const Manifest& manifest);

  // The slot of a space that nobody may have registered yet: its blocks are known before it is.
  // nullopt at kSpacesMax.
  std::optional<SpaceSlot> Await(SpaceId id);

  // FAILED_PRECONDITION when unknown.
  absl::StatusOr<const SpaceEntry*> Find(SpaceId id) const;
  const SpaceEntry& at(SpaceSlot slot) const;
  std::vector<const SpaceEntry*> All() const;  // that are registered
  size_t size() const;                         // of All()

 private:
  const CodecPolicy& codecs_;
  const TenantAccounts& tenants_;
  Metrics& metrics_;
  SpaceEntry* EntryOf(SpaceId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<SpaceEntry>> spaces_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<SpaceId, SpaceSlot> by_id_ ABSL_GUARDED_BY(mutex_);
  size_t registered_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace larder::server
