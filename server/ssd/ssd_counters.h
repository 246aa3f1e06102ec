// Counters of the SSD tier, shared by its parts; SsdUsage says what each means.
#pragma once

#include <atomic>
#include <cstdint>

namespace larder::server {

// Thread-safe; every field is relaxed.
struct SsdCounters {
  using Count = std::atomic<uint64_t>;
  Count payload_bytes_written{0};
  Count moved_bytes_written{0};
  Count overhead_bytes_written{0};
  Count bytes_read{0};
  Count reads{0};
  Count read_errors{0};
  Count damaged_frames{0};
  Count over_deadline{0};
  Count append_errors{0};
  Count segments_reclaimed{0};
  Count records_moved{0};
  Count records_dropped{0};
  Count catalog_entries_damaged{0};
  Count catalog_rebuilds{0};
  Count scrub_passes{0};
  Count scrubbed_bytes{0};
  Count scrub_bytes_to_do{0};
  Count reads_in_flight{0};
};

inline void Add(SsdCounters::Count& count, uint64_t by = 1) {
  count.fetch_add(by, std::memory_order_relaxed);
}
inline void Subtract(SsdCounters::Count& count, uint64_t by = 1) {
  count.fetch_sub(by, std::memory_order_relaxed);
}

}  // namespace larder::server
