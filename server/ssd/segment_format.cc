#include "server/ssd/segment_format.h"

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "server/base/check.h"

namespace larder::server {
namespace {

// The checksum is the last field of every structure.
template <typename T>
Checksum128 ChecksumOver(const T& value, uint64_t seed) {
  static_assert(offsetof(T, checksum) + sizeof(Checksum128) == sizeof(T));
  const XXH128_hash_t hash = XXH3_128bits_withSeed(&value, offsetof(T, checksum), seed);
  return {hash.low64, hash.high64};
}

template <typename T>
std::optional<T> DecodeChecked(std::span<const std::byte> bytes, uint32_t magic, uint64_t seed) {
  T value;
  if (bytes.size() < sizeof(T)) return std::nullopt;
  std::memcpy(&value, bytes.data(), sizeof(T));
  if (value.magic != magic || value.version != kSsdVersion) return std::nullopt;
  if (value.checksum != ChecksumOver(value, seed)) return std::nullopt;
  return value;
}

template <typename T>
T WithChecksum(T value, uint64_t seed) {
  value.checksum = ChecksumOver(value, seed);
  return value;
}

std::string TextOf(const std::array<uint8_t, kSsdKeyBytesMax>& bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes.data()), size};
}

}  // namespace

RecordHeader EncodeRecord(const SsdEntry& entry, uint64_t sequence, uint64_t seed) {
  const SsdRecord& record = entry.record;
  LARDER_CHECK(record.key.size() <= kSsdKeyBytesMax && record.parent.size() <= kSsdKeyBytesMax);
  RecordHeader header;
  header.key_bytes = static_cast<uint8_t>(record.key.size());
  header.parent_bytes = static_cast<uint8_t>(record.parent.size());
  header.segment = entry.location.segment;
  header.generation = entry.location.generation;
  header.offset = entry.location.offset;
  header.frame_bytes = entry.location.frame_bytes;
  header.sequence = sequence;
  header.codec = record.codec;
  header.fidelity = record.fidelity;
  header.priority = record.priority;
  header.origin_tag = record.origin_tag;
  header.expires_ms = record.expires_ms;
  header.priority_until_ms = record.priority_until_ms;
  header.frame_root = record.frame_root;
  std::copy(record.key.begin(), record.key.end(), header.key.begin());
  std::copy(record.parent.begin(), record.parent.end(), header.parent.begin());
  return WithChecksum(header, seed);
}

std::optional<StoredRecord> DecodeRecord(std::span<const std::byte> bytes, uint64_t seed) {
  const auto header = DecodeChecked<RecordHeader>(bytes, kSegmentRecordMagic, seed);
  if (!header.has_value()) return std::nullopt;
  if (header->key_bytes == 0 || header->key_bytes > kSsdKeyBytesMax ||
      header->parent_bytes > kSsdKeyBytesMax || header->reserved != 0) {
    return std::nullopt;
  }
  StoredRecord stored;
  stored.sequence = header->sequence;
  stored.entry.location = {.segment = header->segment,
                           .generation = header->generation,
                           .offset = header->offset,
                           .frame_bytes = header->frame_bytes};
  stored.entry.record = {.key = TextOf(header->key, header->key_bytes),
                         .parent = TextOf(header->parent, header->parent_bytes),
                         .codec = header->codec,
                         .fidelity = header->fidelity,
                         .priority = header->priority,
                         .origin_tag = header->origin_tag,
                         .expires_ms = header->expires_ms,
                         .priority_until_ms = header->priority_until_ms,
                         .frame_root = header->frame_root};
  return stored;
}

SegmentHeader EncodeSegment(const SegmentHeader& header, uint64_t seed) {
  return WithChecksum(header, seed);
}
std::optional<SegmentHeader> DecodeSegment(std::span<const std::byte> bytes, uint64_t seed) {
  return DecodeChecked<SegmentHeader>(bytes, kSegmentMagic, seed);
}
Superblock EncodeSuperblock(const Superblock& block) { return WithChecksum(block, /*seed=*/0); }
std::optional<Superblock> DecodeSuperblock(std::span<const std::byte> bytes) {
  return DecodeChecked<Superblock>(bytes, kSuperblockMagic, /*seed=*/0);
}

bool MayBeRecord(std::span<const std::byte> bytes) {
  uint32_t magic = 0;
  if (bytes.size() < sizeof(magic)) return false;
  std::memcpy(&magic, bytes.data(), sizeof(magic));
  return magic == kSegmentRecordMagic;
}

}  // namespace larder::server
