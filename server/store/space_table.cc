#include "server/store/space_table.h"

#include <utility>

#include "proto/contract/errors.h"

namespace larder::server {

absl::StatusOr<std::vector<const SpaceEntry*>> SpaceTable::Register(std::string_view tenant,
                                                                    const Manifest& manifest) {
  const Digest manifest_digest = ManifestDigest(manifest);
  const auto shared = std::make_shared<const Manifest>(manifest);
  std::vector<const SpaceEntry*> entries;
  MutexLock lock(mutex_);
  for (const LayerGroup& group : manifest.groups) {
    const Digest digest = SpaceDigest(tenant, manifest_digest, group.name);
    const SpaceId id = SpaceIdOf(digest);
    SpaceEntry* const entry = EntryOf(id);
    if (entry == nullptr) return OverLimit("registered spaces", spaces_.size(), kSpacesMax);
    entries.push_back(entry);
    if (entry->manifest != nullptr) {
      if (entry->digest == digest) continue;
      return Bug("two spaces share a 64-bit id; rename the tenant or the model");
    }
    entry->digest = digest;
    entry->tenant = std::string(tenant);
    entry->group = group.name;
    entry->manifest = shared;
    entry->manifest_digest = manifest_digest;
    entry->shape = ShapeOf(manifest, group);
    entry->raw_bytes = RawBytes(entry->shape).value_or(0);
    entry->account = tenants_.Of(tenant);
    entry->codec = codecs_.Of(manifest, group);
    entry->metrics = metrics_.AddSpace(tenant, manifest.model, group.name);
    ++registered_;
  }
  return entries;
}

SpaceEntry* SpaceTable::EntryOf(SpaceId id) {
  if (const auto found = by_id_.find(id); found != by_id_.end()) {
    return spaces_[found->second].get();
  }
  if (spaces_.size() >= kSpacesMax) return nullptr;
  auto entry = std::make_unique<SpaceEntry>();
  entry->slot = static_cast<SpaceSlot>(spaces_.size());
  entry->id = id;
  by_id_[id] = entry->slot;
  return spaces_.emplace_back(std::move(entry)).get();
}

std::optional<SpaceSlot> SpaceTable::Await(SpaceId id) {
  MutexLock lock(mutex_);
  const SpaceEntry* const entry = EntryOf(id);
  if (entry == nullptr) return std::nullopt;
  if (entry->manifest == nullptr) entry->awaited = true;
  return entry->slot;
}

absl::StatusOr<const SpaceEntry*> SpaceTable::Find(SpaceId id) const {
  MutexLock lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || spaces_[found->second]->manifest == nullptr) {
    return SpaceUnknown(id);
  }
  return spaces_[found->second].get();
}

const SpaceEntry& SpaceTable::at(SpaceSlot slot) const {
  MutexLock lock(mutex_);
  return *spaces_[slot];
}

std::vector<const SpaceEntry*> SpaceTable::All() const {
  MutexLock lock(mutex_);
  std::vector<const SpaceEntry*> all;
  for (const auto& space : spaces_) {
    if (space->manifest != nullptr) all.push_back(space.get());
  }
  return all;
}

size_t SpaceTable::size() const {
  MutexLock lock(mutex_);
  return registered_;
}

}  // namespace larder::server
