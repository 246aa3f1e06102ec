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

// Visits records in order of position. A header that does not verify is passed over, and the search
// goes on at every unit behind it; so does a part that can not be read. Blocking; about one small read
// per record larger than kScanWindowBytes. Returns the number of windows that could not be read.
inline constexpr uint64_t kScanWindowBytes = 16 << 10;
inline constexpr uint64_t kScanWindowBytesMax = 1 << 20;
uint64_t ScanSegment(Device& device, const SegmentScan& scan,
                     const std::function<void(const StoredRecord&)>& visit);

}  // namespace larder::server
