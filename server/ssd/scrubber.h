// Verifies what is stored in the background, at a limited rate, so that damage is found before
// somebody asks for the block. Passes over all sealed segments, one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "server/base/clock.h"
#include "server/ssd/catalog.h"
#include "server/ssd/committer.h"
#include "server/ssd/device.h"
#include "server/ssd/frame_reader.h"
#include "server/ssd/segment_table.h"
#include "server/ssd/ssd_counters.h"
#include "server/ssd/ssd_tier.h"

namespace larder::server {

// Confined to the maintenance thread. What it is made of must outlive it.
class Scrubber {
 public:
  struct Parts {
    std::span<const std::unique_ptr<Device>> devices;
    SegmentTable& segments;
    Catalog& catalog;
    FrameReader& reader;
    Committer& committer;
    SsdCounters& counters;
    const Clock& clock;
    uint64_t seed = 0;
    uint64_t bytes_per_second = 0;
  };
  Scrubber(const Parts& parts, SsdOwner& owner) : parts_(parts), owner_(owner) {}

  // Verifies the next record if the rate allows it now; blocks for its read. False: nothing was due.
  bool Step();

 private:
  bool NextSegment();  // false: a pass has ended, or there is nothing

  const Parts parts_;
  SsdOwner& owner_;
  std::vector<SegmentTable::Opened> segments_;  // of the pass, last one next
  std::vector<SsdEntry> records_;               // of the segment, last one next
  TimePoint next_;                              // when the rate allows the next record
};

}  // namespace larder::server
