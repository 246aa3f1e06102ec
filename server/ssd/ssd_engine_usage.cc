#include <algorithm>

#include "server/ssd/ssd_engine.h"

namespace larder::server {

std::string_view SsdHealthName(SsdHealth health) {
  switch (health) {
    case SsdHealth::kOk:
      return "ok";
    case SsdHealth::kDegraded:
      return "degraded";
    case SsdHealth::kOffline:
      return "offline";
  }
  return "unknown";
}

SsdUsage SsdTier::Engine::usage() const {
  const SegmentTable::Sums sums = segments_->sums();
  const uint64_t segments =
      disk_is_small_ ? sums.segments : uint64_t{SegmentsMax()} * DeviceCount();
  // What fills and what is kept free for reclaim holds nothing for long.
  const uint64_t spare = 2 * DeviceCount() + FreeWanted();
  SsdUsage usage;
  usage.budget_bytes = options_.budget_bytes;
  usage.capacity_bytes =
      (segments - std::min(segments, spare)) * (superblock_.segment_bytes - kSegmentHeaderBytes);
  usage.used_bytes = sums.used_bytes;
  usage.live_bytes = sums.live_bytes;
  usage.live_records = sums.live_records;
  usage.catalog_bytes = catalog_->file_bytes();
  usage.segments = sums.segments;
  usage.segments_free = sums.free;
  usage.payload_bytes_written = counters_.payload_bytes_written;
  usage.moved_bytes_written = counters_.moved_bytes_written;
  usage.overhead_bytes_written =
      DataBytesWritten() - usage.payload_bytes_written - usage.moved_bytes_written;
  usage.catalog_bytes_written = catalog_->bytes_written();
  budget_->Report(DataBytesWritten() + usage.catalog_bytes_written);
  const WriteBudget::Day today = budget_->Today();
  usage.bytes_written_today = today.bytes;
  usage.write_budget_left = today.left;
  usage.bytes_read = counters_.bytes_read;
  usage.reads = counters_.reads;
  usage.read_errors = counters_.read_errors;
  usage.damaged_frames = counters_.damaged_frames;
  usage.over_deadline = counters_.over_deadline;
  usage.append_errors = counters_.append_errors;
  usage.segments_reclaimed = counters_.segments_reclaimed;
  usage.records_moved = counters_.records_moved;
  usage.records_dropped = counters_.records_dropped;
  usage.catalog_entries_damaged = counters_.catalog_entries_damaged;
  usage.catalog_rebuilds = counters_.catalog_rebuilds;
  usage.scrub_passes = counters_.scrub_passes;
  usage.scrubbed_bytes = counters_.scrubbed_bytes;
  usage.scrub_bytes_to_do = counters_.scrub_bytes_to_do;
  usage.reads_in_flight = counters_.reads_in_flight;
  usage.staging_used_bytes = staging_->used_bytes();
  usage.append_queued_bytes = writer_ == nullptr ? 0 : writer_->queued_bytes();
  usage.health = health();
  for (const std::unique_ptr<Device>& device : devices_) {
    if (device == nullptr) continue;
    usage.io_queue = device->queue_name();
    break;
  }
  return usage;
}

}  // namespace larder::server
