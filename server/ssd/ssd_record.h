// What the SSD tier knows of a block: its name and fate (SsdRecord) and where its bytes lie
// (SsdLocation). Value types; FORMAT.md beside this file says how they stand on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/format/frame.h"

namespace larder::server {

inline constexpr size_t kSsdKeyBytesMax =
    48;  // space id (8) and prefix hash (32), with room to spare

// Where a record lies. Valid until its segment is reclaimed; `generation` is never used twice, so a
// stale location is found out and can never name another record's bytes. 16 bytes.
struct SsdLocation {
  uint32_t segment = 0;      // number of the segment over all devices
  uint32_t generation = 0;   // of the segment when the record was written; 0: no location
  uint32_t offset = 0;       // of the record within the segment, in units of kSsdUnitBytes
  uint32_t frame_bytes = 0;  // of the frame alone

  explicit operator bool() const { return generation != 0; }
  friend bool operator==(const SsdLocation&, const SsdLocation&) = default;
};
static_assert(sizeof(SsdLocation) == 16);
inline constexpr uint64_t kSsdUnitBytes = 64;

// The durable part of a block's entry. Keys are opaque bytes to the tier: it compares them and
// never looks inside. Times are milliseconds since the Unix epoch, 0: never.
struct SsdRecord {
  std::string key;     // 1 to kSsdKeyBytesMax bytes
  std::string parent;  // key of the parent, same limit; empty: first block of its chain
  uint16_t codec = 0;
  uint8_t fidelity = 0;
  uint8_t priority = 0;
  uint32_t origin_tag = 0;  // names the bytes that the frame was made from; 0: not known
  int64_t expires_ms = 0;
  int64_t priority_until_ms = 0;
  Checksum128 frame_root;  // FrameHeader::root of the frame; a read compares it

  friend bool operator==(const SsdRecord&, const SsdRecord&) = default;
};

// What of a record may change while it lies there.
struct SsdRetention {
  uint8_t priority = 0;
  int64_t expires_ms = 0;
  int64_t priority_until_ms = 0;
};

struct SsdEntry {
  SsdRecord record;
  SsdLocation location;

  friend bool operator==(const SsdEntry&, const SsdEntry&) = default;
};

}  // namespace larder::server
