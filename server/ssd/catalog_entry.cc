#include "server/ssd/catalog_entry.h"

#include <xxhash.h>

#include <cstring>

namespace larder::server {
namespace {

// The fixed part of an entry; the parent's key and the checksum follow.
struct EntryValue {
  uint32_t segment = 0;
  uint32_t generation = 0;
  uint32_t offset = 0;
  uint32_t frame_bytes = 0;
  uint64_t sequence = 0;
  Checksum128 frame_root;
  int64_t expires_ms = 0;
  int64_t priority_until_ms = 0;
  uint32_t origin_tag = 0;
  uint16_t codec = 0;
  uint8_t fidelity = 0;
  uint8_t priority = 0;
};
static_assert(sizeof(EntryValue) == 64);

uint64_t ChecksumOf(std::string_view key, std::string_view value, uint64_t seed) {
  return XXH3_64bits_withSeed(value.data(), value.size(),
                              XXH3_64bits_withSeed(key.data(), key.size(), seed));
}

std::string WithChecksum(std::string_view key, std::string value, uint64_t seed) {
  const uint64_t checksum = ChecksumOf(key, value, seed);
  value.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  return value;
}

// The value without its checksum; nullopt when that does not hold.
std::optional<std::string_view> Checked(std::string_view key, std::string_view value,
                                        uint64_t seed) {
  uint64_t checksum = 0;
  if (value.size() < sizeof(checksum)) return std::nullopt;
  const std::string_view content = value.substr(0, value.size() - sizeof(checksum));
  std::memcpy(&checksum, value.data() + content.size(), sizeof(checksum));
  if (checksum != ChecksumOf(key, content, seed)) return std::nullopt;
  return content;
}

}  // namespace

std::string EncodeCatalogEntry(const StoredRecord& stored, uint64_t seed) {
  const SsdRecord& record = stored.entry.record;
  const SsdLocation& location = stored.entry.location;
  const EntryValue fixed = {.segment = location.segment,
                            .generation = location.generation,
                            .offset = location.offset,
                            .frame_bytes = location.frame_bytes,
                            .sequence = stored.sequence,
                            .frame_root = record.frame_root,
                            .expires_ms = record.expires_ms,
                            .priority_until_ms = record.priority_until_ms,
                            .origin_tag = record.origin_tag,
                            .codec = record.codec,
                            .fidelity = record.fidelity,
                            .priority = record.priority};
  std::string value(reinterpret_cast<const char*>(&fixed), sizeof(fixed));
  value += record.parent;
  return WithChecksum(record.key, std::move(value), seed);
}

std::optional<StoredRecord> DecodeCatalogEntry(std::string_view key, std::string_view value,
                                               uint64_t seed) {
  const auto content = Checked(key, value, seed);
  EntryValue fixed;
  if (!content.has_value() || content->size() < sizeof(fixed) ||
      content->size() > sizeof(fixed) + kSsdKeyBytesMax || key.empty() ||
      key.size() > kSsdKeyBytesMax) {
    return std::nullopt;
  }
  std::memcpy(&fixed, content->data(), sizeof(fixed));
  StoredRecord stored;
  stored.sequence = fixed.sequence;
  stored.entry.location = {.segment = fixed.segment,
                           .generation = fixed.generation,
                           .offset = fixed.offset,
                           .frame_bytes = fixed.frame_bytes};
  stored.entry.record = {.key = std::string(key),
                         .parent = std::string(content->substr(sizeof(fixed))),
                         .codec = fixed.codec,
                         .fidelity = fixed.fidelity,
                         .priority = fixed.priority,
                         .origin_tag = fixed.origin_tag,
                         .expires_ms = fixed.expires_ms,
                         .priority_until_ms = fixed.priority_until_ms,
                         .frame_root = fixed.frame_root};
  return stored;
}

std::string EncodeCatalogNumber(std::string_view key, uint64_t number, uint64_t seed) {
  return WithChecksum(key, std::string(reinterpret_cast<const char*>(&number), sizeof(number)),
                      seed);
}

std::optional<uint64_t> DecodeCatalogNumber(std::string_view key, std::string_view value,
                                            uint64_t seed) {
  const auto content = Checked(key, value, seed);
  uint64_t number = 0;
  if (!content.has_value() || content->size() != sizeof(number)) return std::nullopt;
  std::memcpy(&number, content->data(), sizeof(number));
  return number;
}

}  // namespace larder::server
