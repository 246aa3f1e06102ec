// How an SSD tier is opened, and what it reports. Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/ssd/io_queue.h"

namespace larder::server {

struct SsdOptions {
  // One directory per device, made when absent; never shared by two servers (a lock file refuses the
  // second). Several are one tier.
  std::vector<std::string> directories;
  // Hard budget over all directories: segments and catalog. At least kSegmentsMin segments.
  uint64_t budget_bytes = 0;
  // A multiple of 1 MiB, fixed when a directory is made; larger than the largest frame that is to be
  // stored. 0: 256 MiB, or less so that a small budget has 64 segments, of 32 MiB at least unless that
  // would leave fewer than 16.
  uint64_t segment_bytes = 0;
  uint32_t queue_depth = 8;  // I/O in flight per device; 4 to 8 saturate one
  bool io_uring = true;  // false: the thread pool. Where io_uring is refused the pool is chosen.
  // Memory of reads: the frames that were handed out and those on their way. Rounded up to hold the
  // largest record. Pinned when io_uring may register it.
  uint64_t staging_bytes = 128ull << 20;
  // Appends that have not reached a write buffer yet; more is refused.
  uint64_t append_queue_bytes = 64ull << 20;
  // A record that nobody waits for is durable after at most about this long, so that full buffers are
  // written and commits are shared; `urgent` ones do not wait.
  std::chrono::milliseconds commit_interval{100};
  // An operation in flight for longer than this takes its device offline, until a probe ends.
  std::chrono::milliseconds stall_limit{2000};
  std::chrono::milliseconds probe_interval{500};
  uint64_t write_bytes_per_day = 0;     // endurance budget, payload and overhead; 0: no limit
  uint64_t scrub_bytes_per_second = 0;  // background verification; 0: off
  // Memory of the catalog's block cache, filters and index blocks included; its write buffers come
  // on top (kCatalogWriteBufferBytes each, two at most).
  uint64_t catalog_cache_bytes = 32ull << 20;
  // Makes a device's queue over an open file. Empty: OpenIoQueue. Tests inject faults here.
  std::function<std::unique_ptr<IoQueue>(const IoQueueOptions&)> make_queue;
};

enum class SsdHealth : uint8_t {
  kOk,        // all devices work
  kDegraded,  // a device or the catalog failed lately, or the disk is smaller than the budget: some
              // appends are refused, what can be read is read
  kOffline,   // no device works: every call ends at once with UNAVAILABLE, probes go on
};
std::string_view SsdHealthName(SsdHealth health);

// Counters since Open unless said otherwise; bytes on the device.
struct SsdUsage {
  uint64_t budget_bytes = 0;  // as configured
  // Records that there is room for: the segments that the disk granted, less what is filled and
  // freed. An owner that keeps less has less to move when segments are reclaimed.
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;  // records of segments in use, live or not
  uint64_t live_bytes = 0;  // records that the catalog names
  uint64_t live_records = 0;
  uint64_t catalog_bytes = 0;  // its files
  uint32_t segments = 0;       // allocated
  uint32_t segments_free = 0;

  uint64_t payload_bytes_written = 0;   // frames appended by the owner
  uint64_t moved_bytes_written = 0;     // frames that reclaim kept
  uint64_t overhead_bytes_written = 0;  // record headers, padding, segment headers, probes
  uint64_t catalog_bytes_written = 0;   // WAL, SST flushes, compaction
  uint64_t bytes_written_today = 0;     // all of them, since midnight UTC, over restarts
  uint64_t write_budget_left = 0;       // of today's bytes; UINT64_MAX without a limit
  uint64_t bytes_read = 0;              // by the owner, reclaim and the scrubber

  uint64_t reads = 0;
  uint64_t read_errors = 0;     // EIO and the like
  uint64_t damaged_frames = 0;  // found by reads, reclaim or the scrubber
  uint64_t over_deadline = 0;
  uint64_t append_errors = 0;
  uint64_t segments_reclaimed = 0;
  uint64_t records_moved = 0;
  uint64_t records_dropped = 0;          // by reclaim: the owner did not want them
  uint64_t catalog_entries_damaged = 0;  // dropped at Recover
  uint64_t catalog_rebuilds = 0;         // from the segments
  uint64_t scrub_passes = 0;
  uint64_t scrubbed_bytes = 0;     // of the pass under way
  uint64_t scrub_bytes_to_do = 0;  // of the pass under way, when it began
  uint64_t reads_in_flight = 0;
  uint64_t staging_used_bytes = 0;
  uint64_t append_queued_bytes = 0;
  SsdHealth health = SsdHealth::kOk;
  std::string_view io_queue = "";  // "io_uring", "threads": of the first device

  // Bytes written to devices per byte of frames that were appended; 1 before the first.
  uint64_t bytes_written() const {
    return payload_bytes_written + moved_bytes_written + overhead_bytes_written +
           catalog_bytes_written;
  }
  double write_amplification() const {
    return payload_bytes_written == 0
               ? 1
               : static_cast<double>(bytes_written()) / payload_bytes_written;
  }
};

}  // namespace larder::server
