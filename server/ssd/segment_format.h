// Constants and fixed structures of the SSD tier's files. FORMAT.md beside this file is the grammar
// with a worked example. Little-endian; structures are copied in and out as bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "server/ssd/io_queue.h"
#include "server/ssd/ssd_record.h"

namespace larder::server {

inline constexpr uint16_t kSsdVersion = 1;
inline constexpr uint32_t kSuperblockMagic = 0x5344444Cu;     // "LDDS"
inline constexpr uint32_t kSegmentMagic = 0x4753444Cu;        // "LDSG"
inline constexpr uint32_t kSegmentRecordMagic = 0x5253444Cu;  // "LDSR"

inline constexpr uint64_t kSegmentsBegin =
    1ull << 20;  // of the segments file; before it: the probe page
inline constexpr uint64_t kSegmentHeaderBytes = kIoAlignment;  // the first record begins here
inline constexpr uint32_t kDevicesMax = 64;
inline constexpr uint32_t kSegmentsPerDeviceMax = 1u << 24;

// Number of a segment over all devices.
constexpr uint32_t SegmentNumber(uint32_t device, uint32_t index) { return device << 24 | index; }
constexpr uint32_t DeviceOf(uint32_t segment) { return segment >> 24; }
constexpr uint32_t IndexOf(uint32_t segment) { return segment & (kSegmentsPerDeviceMax - 1); }

// One page in a file of its own; written once, when a directory joins a tier.
struct Superblock {
  uint32_t magic = kSuperblockMagic;
  uint16_t version = kSsdVersion;
  uint16_t reserved0 = 0;
  uint32_t device = 0;  // index within the tier
  uint32_t reserved1 = 0;
  uint64_t segment_bytes = 0;
  std::array<uint8_t, 16> tier{};  // random; the same in all directories of one tier
  uint64_t seed =
      0;  // of the checksums of segment and record headers; secret from whoever puts blocks
  Checksum128 checksum;  // unseeded, of everything before it
};
static_assert(sizeof(Superblock) == 64);

// First page of a segment in use.
struct SegmentHeader {
  uint32_t magic = kSegmentMagic;
  uint16_t version = kSsdVersion;
  uint16_t reserved0 = 0;
  uint32_t segment = 0;
  uint32_t generation = 0;
  std::array<uint8_t, 16> tier{};
  Checksum128 checksum;  // seeded, of everything before it
};
static_assert(sizeof(SegmentHeader) == 48);

// Stands before each frame. A copy of all that the catalog knows, so that it can be rebuilt.
struct RecordHeader {
  uint32_t magic = kSegmentRecordMagic;
  uint16_t version = kSsdVersion;
  uint8_t key_bytes = 0;
  uint8_t parent_bytes = 0;
  uint32_t segment = 0;
  uint32_t generation = 0;
  uint32_t offset = 0;  // units within the segment
  uint32_t frame_bytes = 0;
  uint64_t sequence =
      0;  // grows with every record of the tier: of two with one key the larger counts
  uint16_t codec = 0;
  uint8_t fidelity = 0;
  uint8_t priority = 0;
  uint32_t origin_tag = 0;
  int64_t expires_ms = 0;
  int64_t priority_until_ms = 0;
  Checksum128 frame_root;
  std::array<uint8_t, kSsdKeyBytesMax> key{};
  std::array<uint8_t, kSsdKeyBytesMax> parent{};
  uint64_t reserved = 0;
  Checksum128 checksum;  // seeded, of everything before it
};
static_assert(sizeof(RecordHeader) == 192);
static_assert(sizeof(RecordHeader) % kSsdUnitBytes == 0);

constexpr uint64_t AlignUp(uint64_t bytes, uint64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}
// A record's room in a segment.
constexpr uint64_t RecordBytes(uint64_t frame_bytes) {
  return AlignUp(sizeof(RecordHeader) + frame_bytes, kSsdUnitBytes);
}

// A record as it was found on disk.
struct StoredRecord {
  SsdEntry entry;
  uint64_t sequence = 0;
};

// Pure functions over at least sizeof(...) bytes. Decoders return nullopt for anything that was not
// written by the encoder with the same seed: every field is under the checksum.
RecordHeader EncodeRecord(const SsdEntry& entry, uint64_t sequence, uint64_t seed);
std::optional<StoredRecord> DecodeRecord(std::span<const std::byte> bytes, uint64_t seed);
SegmentHeader EncodeSegment(const SegmentHeader& header, uint64_t seed);
std::optional<SegmentHeader> DecodeSegment(std::span<const std::byte> bytes, uint64_t seed);
Superblock EncodeSuperblock(const Superblock& block);
std::optional<Superblock> DecodeSuperblock(std::span<const std::byte> bytes);

// True when the bytes could begin a record: a cheap test before DecodeRecord.
bool MayBeRecord(std::span<const std::byte> bytes);

}  // namespace larder::server
