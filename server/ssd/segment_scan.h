// Finds the records of a segment by their headers, without the catalog: for reclaim, for the
// scrubber, and to rebuild the catalog. Payloads are jumped over, not read.
#pragma once

#include <cstdint>
#include <functional>

#include "server/ssd/device.h"
#include "server/ssd/segment_format.h"

namespace larder::server {

struct SegmentScan {
  uint32_t segment = 0;
  uint32_t generation = 0;  // of the records looked for; 0: of the first record found
  uint64_t segment_bytes = 0;
  uint64_t end = 0;  // bytes of the segment that may hold records
  uint64_t seed = 0;
};

// Visits records in order of position until `visit` returns false. A header that does not verify is
// passed over, and the search goes on at every unit behind it; so does a part that can not be read.
// Blocking; one small read per record that is larger than kScanGapMax, and the whole segment in large
// ones where they are smaller. Returns the number of windows that could not be read.
inline constexpr uint64_t kScanWindowBytes = 16 << 10;
inline constexpr uint64_t kScanWindowBytesMax = 1 << 20;
// Reading over as much takes no longer than one more read: 200 us at 1.5 GB/s.
inline constexpr uint64_t kScanGapMax = 256 << 10;
uint64_t ScanSegment(Device& device, const SegmentScan& scan,
                     const std::function<bool(const StoredRecord&)>& visit);

}  // namespace larder::server
