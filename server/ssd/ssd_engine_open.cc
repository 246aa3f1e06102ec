// Opening: directories, devices, segments, catalog; and recovery.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/base/fault_point.h"
#include "server/base/check.h"
#include "server/base/log.h"
#include "server/ssd/segment_scan.h"
#include "server/ssd/ssd_engine.h"

namespace larder::server {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kSegmentBytesDefault = 256 * kMiB;
constexpr size_t kRebuildBatch = 1000;

constexpr uint64_t kSegmentBytesSmall = 32 * kMiB;

// Headers that may be unreadable at a start: bad sectors. With more the disk itself is failing.
constexpr uint32_t kUnreadableSegmentsMax = 8;
constexpr int kHeaderReadsMax = 3;

// In the catalog: of how many directories the tier is made.
constexpr std::string_view kDevicesNumber = "devices";

// The errno of the last attempt.
int ReadHeader(Device& device, uint32_t segment, std::span<std::byte> pages) {
  int error = 0;
  for (int i = 0; i < kHeaderReadsMax; ++i) {
    error = device.ReadNow(segment, 0, pages);
    if (error == 0) return 0;
  }
  return error;
}

// Of a budget 64 segments, so that what fills and what is kept free are a small share; 16 where they
// would be smaller than frames may be.
uint64_t DefaultSegmentBytes(uint64_t budget_bytes) {
  const uint64_t bytes =
      std::max(budget_bytes / 64, std::min(budget_bytes / 16, kSegmentBytesSmall));
  return std::clamp(bytes / kMiB * kMiB, kMiB, kSegmentBytesDefault);
}

// Secrets and names need no seed: nothing is decided by their value.
Superblock NewSuperblock(uint64_t segment_bytes) {
  std::random_device random;
  Superblock block;
  block.segment_bytes = segment_bytes;
  for (uint8_t& byte : block.tier) byte = static_cast<uint8_t>(random());
  block.seed = static_cast<uint64_t>(random()) << 32 | random();
  return block;
}

}  // namespace

absl::Status SsdTier::Engine::Open() {
  if (options_.directories.empty()) {
    return InvalidField("ssd directories", "none", "at least one");
  }
  auto directories = OpenDirectories();
  if (!directories.ok()) return directories.status();
  if (absl::Status status = OpenMemory(); !status.ok()) return status;
  if (absl::Status status = OpenDevices(*std::move(directories)); !status.ok()) return status;
  if (absl::Status status = OpenCatalog(); !status.ok()) return status;
  if (absl::Status status = CheckDeviceCount(); !status.ok()) return status;
  budget_ = std::make_unique<WriteBudget>(clock_, options_.write_bytes_per_day);
  deadlines_ = std::make_unique<DeadlineTable>(clock_, [this] { EachTick(); });
  reader_ = std::make_unique<FrameReader>(FrameReader::Parts{.devices = devices_,
                                                             .segments = *segments_,
                                                             .staging = *staging_,
                                                             .deadlines = *deadlines_,
                                                             .counters = counters_,
                                                             .seed = superblock_.seed});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::unique_ptr<SsdDirectory>>> SsdTier::Engine::OpenDirectories() {
  if (options_.directories.size() > kDevicesMax) {
    return TooMany("ssd directories", options_.directories.size(), kDevicesMax);
  }
  std::vector<std::unique_ptr<SsdDirectory>> by_index;
  std::vector<std::unique_ptr<SsdDirectory>> fresh;
  bool known = false;
  for (const std::string& path : options_.directories) {
    auto directory = SsdDirectory::Lock(path);
    if (!directory.ok()) return directory.status();
    if (!(*directory)->has_superblock()) {
      fresh.push_back(*std::move(directory));
      continue;
    }
    const auto block = (*directory)->ReadSuperblock();
    if (!block.ok()) return block.status();
    if (!known) superblock_ = *block;
    known = true;
    if (block->tier != superblock_.tier || block->segment_bytes != superblock_.segment_bytes ||
        block->seed != superblock_.seed || block->device >= kDevicesMax ||
        block->segment_bytes < kMiB || block->segment_bytes % kMiB != 0) {
      return DirectoryUnusable(path, "it belongs to another tier than the directory before it");
    }
    if (by_index.size() <= block->device) by_index.resize(block->device + 1);
    if (by_index[block->device] != nullptr) {
      return DirectoryUnusable(path, "it is a copy of another directory of the tier");
    }
    by_index[block->device] = *std::move(directory);
  }
  const auto gap = std::find(by_index.begin(), by_index.end(), nullptr);
  if (gap != by_index.end()) {
    // What it holds would be forgotten, and with it all that hangs on it.
    return DirectoryUnusable(options_.directories.front(),
                             absl::StrCat("directory ", gap - by_index.begin(),
                                          " of its tier is missing: name all of them in ssd_path"));
  }
  if (!known) {
    superblock_ = NewSuperblock(
        options_.segment_bytes != 0
            ? options_.segment_bytes
            : DefaultSegmentBytes(options_.budget_bytes / options_.directories.size()));
  }
  if (superblock_.segment_bytes < kMiB || superblock_.segment_bytes % kMiB != 0 ||
      SegmentsMax() < kSegmentsMin) {
    return InvalidField(
        "ssd_bytes", absl::StrCat(options_.budget_bytes),
        absl::StrCat("at least ", kSegmentsMin, " segments of ", superblock_.segment_bytes,
                     " bytes (whole MiB) per directory, and 1/32 for the catalog"));
  }
  for (std::unique_ptr<SsdDirectory>& directory : fresh) {
    Superblock block = superblock_;
    block.device = static_cast<uint32_t>(by_index.size());
    const absl::Status status = directory->WriteSuperblock(EncodeSuperblock(block));
    if (!status.ok()) return status;
    by_index.push_back(std::move(directory));
  }
  return by_index;
}

uint32_t SsdTier::Engine::SegmentsMax() const {
  const uint64_t data = options_.budget_bytes - options_.budget_bytes / kCatalogShare;
  const uint64_t each = data / options_.directories.size();
  if (each <= kSegmentsBegin) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(
      (each - kSegmentsBegin) / superblock_.segment_bytes, kSegmentsPerDeviceMax));
}

absl::Status SsdTier::Engine::OpenMemory() {
  const uint64_t record_max =
      std::min(superblock_.segment_bytes, RecordBytes(kFrameBytesMax) + 2 * kIoAlignment);
  const uint64_t staging = AlignUp(std::max(options_.staging_bytes, record_max), kIoAlignment);
  const uint64_t buffers =
      SegmentWriter::BufferBytes(SegmentWriter::Options{}, options_.directories.size());
  auto memory = HostArena::Create({.bytes = staging + buffers});
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);
  staging_ = std::make_unique<StagingPool>(memory_->memory().first(staging));
  buffers_ = std::make_unique<StagingPool>(memory_->memory().subspan(staging));
  return absl::OkStatus();
}

absl::Status SsdTier::Engine::OpenDevices(std::vector<std::unique_ptr<SsdDirectory>> directories) {
  constexpr uint64_t kRegisteredMax = 1ull << 30;
  const std::span<std::byte> memory = memory_->memory();
  segments_ = std::make_unique<SegmentTable>(superblock_.segment_bytes);
  devices_.resize(directories.size());
  for (uint32_t i = 0; i < directories.size(); ++i) {
    if (directories[i] == nullptr) continue;
    Device::Options options;
    options.index = i;
    options.segment_bytes = superblock_.segment_bytes;
    options.queue.depth = options_.queue_depth;
    options.queue.io_uring = options_.io_uring;
    options.queue.registered = memory.first(std::min(memory.size(), kRegisteredMax));
    options.make_queue = options_.make_queue;
    options.stall_limit = options_.stall_limit;
    options.probe_interval = options_.probe_interval;
    auto device = Device::Open(std::move(directories[i]), options, clock_);
    if (!device.ok()) return device.status();
    devices_[i] = *std::move(device);
    if (absl::Status status = LoadSegments(*devices_[i]); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SsdTier::Engine::LoadSegments(Device& device) {
  struct alignas(kIoAlignment) Pages {
    std::array<std::byte, 2 * kIoAlignment> bytes;
  };
  const auto pages = std::make_unique<Pages>();
  uint32_t unreadable = 0;
  uint32_t count = device.CountSegments();
  if (count > SegmentsMax()) {  // the budget is smaller than it was
    count = SegmentsMax();
    if (absl::Status status = device.Truncate(count); !status.ok()) return status;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t number = SegmentNumber(device.index(), i);
    if (const int error = ReadHeader(device, number, pages->bytes); error != 0) {
      // Free: what lay there is lost, and writing may make the place readable again.
      LogWarn("a segment of the SSD tier can not be read; what it held is given up",
              {{"directory", device.directory().path()}, {"segment", i}, {"errno", error}});
      if (++unreadable > kUnreadableSegmentsMax) {
        return DirectoryUnusable(
            device.directory().path(),
            absl::StrCat("its disk fails (", std::generic_category().message(error),
                         "): repair it, or take the tier's directories out of ssd_path"));
      }
      segments_->Add(device.index(), /*generation=*/0, 0);
      continue;
    }
    const auto header = DecodeSegment(pages->bytes, superblock_.seed);
    uint32_t generation = 0;
    if (header.has_value() && header->segment == number && header->tier == superblock_.tier) {
      generation = header->generation;
    } else if (const auto first = DecodeRecord(std::span(pages->bytes).subspan(kSegmentHeaderBytes),
                                               superblock_.seed);
               first.has_value() && first->entry.location.segment == number) {
      generation = first->entry.location.generation;  // the header is damaged, its records are not
    }
    segments_->Add(device.index(), generation, superblock_.segment_bytes);
  }
  if (count >= kSegmentsMin) return absl::OkStatus();
  if (const int error = device.Reserve(kSegmentsMin); error != 0) {
    return DirectoryUnusable(
        device.directory().path(),
        absl::StrCat("its disk has no room for the first ", kSegmentsMin, " segments, ",
                     kSegmentsMin * superblock_.segment_bytes, " bytes (",
                     std::generic_category().message(error), "): free it, or lower ssd_bytes"));
  }
  for (; count < kSegmentsMin; ++count) segments_->Add(device.index(), /*generation=*/0, 0);
  return absl::OkStatus();
}

// More directories than are named were there before: the names of what they hold would be deleted.
absl::Status SsdTier::Engine::CheckDeviceCount() {
  const auto known = catalog_->FindNumber(kDevicesNumber);
  if (!known.ok() || !known->has_value() || **known <= devices_.size()) return absl::OkStatus();
  return DirectoryUnusable(
      options_.directories.front(),
      absl::StrCat("its tier has ", **known, " directories and ", devices_.size(),
                   " are named: name all of them in ssd_path, or delete ", catalog_options_.path,
                   " to go on with what these hold"));
}

absl::Status SsdTier::Engine::OpenCatalog() {
  const auto first = std::find_if(devices_.begin(), devices_.end(),
                                  [](const auto& device) { return device != nullptr; });
  catalog_options_ = {.path = (*first)->directory().catalog_path(),
                      .cache_bytes = options_.catalog_cache_bytes,
                      .seed = superblock_.seed};
  rebuild_ = !Catalog::Exists(catalog_options_.path);
  auto catalog = Catalog::Open(catalog_options_);
  if (absl::IsDataLoss(catalog.status())) {
    LogError("the catalog of the SSD tier is damaged and will be rebuilt",
             {{"cause", std::string(catalog.status().message())}});
    rebuild_ = true;
    if (absl::Status status = Catalog::Destroy(catalog_options_.path); !status.ok()) return status;
    catalog = Catalog::Open(catalog_options_);
  }
  if (!catalog.ok()) return catalog.status();
  catalog_ = *std::move(catalog);
  return absl::OkStatus();
}

absl::Status SsdTier::Engine::Recover(const std::function<void(const SsdEntry&)>& visit) {
  LARDER_CHECK(!recovered_);  // called once
  FaultAt("ssd.recover");
  absl::Status status = rebuild_ ? Rebuild() : absl::OkStatus();
  if (status.ok()) status = VisitCatalog(visit);
  if (absl::IsDataLoss(status)) {
    LogError("a part of the SSD tier's catalog can not be read, it is rebuilt",
             {{"cause", std::string(status.message())}});
    status = Rebuild();
    if (status.ok()) status = VisitCatalog(visit);
  }
  if (!status.ok()) return status;
  segments_->FreeEmpty();
  const auto day = catalog_->FindNumber("written_day");
  const auto bytes = catalog_->FindNumber("written_bytes");
  if (day.ok() && bytes.ok() && day->has_value() && bytes->has_value()) {
    budget_->Restore(**day, **bytes);
  }
  Catalog::Batch batch(*catalog_);
  batch.PutNumber(kDevicesNumber, devices_.size());
  if (status = catalog_->Commit(batch, /*sync=*/true); !status.ok()) return status;
  StartWriting();
  recovered_ = true;
  return absl::OkStatus();
}

absl::Status SsdTier::Engine::VisitCatalog(const std::function<void(const SsdEntry&)>& visit) {
  segments_->ClearLive();
  std::vector<std::string> gone;
  const auto walk = catalog_->ForEach([&](const StoredRecord& record) {
    segments_->RaiseGeneration(record.entry.location.generation);  // a damaged header hides its own
    if (!segments_->IsCurrent(record.entry.location)) {
      gone.push_back(record.entry.record.key);
      return;
    }
    sequence_ = std::max(sequence_, record.sequence);
    segments_->AddLive(record.entry.location);
    visit(record.entry);
  });
  if (!walk.ok()) return walk.status();
  Add(counters_.catalog_entries_damaged, walk->damaged.size());
  gone.insert(gone.end(), walk->damaged.begin(), walk->damaged.end());
  if (gone.empty()) return absl::OkStatus();
  Catalog::Batch batch(*catalog_);
  for (const std::string& key : gone) batch.Delete(key);
  return catalog_->Commit(batch, /*sync=*/false);
}

// Every record that the segments' headers show, the newest of each key. Nothing is believed that
// does not verify; frames are verified when they are read.
absl::Status SsdTier::Engine::Rebuild() {
  Add(counters_.catalog_rebuilds);
  catalog_.reset();
  if (absl::Status status = Catalog::Destroy(catalog_options_.path); !status.ok()) return status;
  auto opened = Catalog::Open(catalog_options_);
  if (!opened.ok()) return opened.status();
  catalog_ = *std::move(opened);
  auto batch = std::make_unique<Catalog::Batch>(*catalog_);
  absl::flat_hash_map<std::string, uint64_t> in_batch;  // key -> sequence
  absl::Status status;
  const auto flush = [&] {
    if (status.ok()) status = catalog_->Commit(*batch, /*sync=*/false);
    batch = std::make_unique<Catalog::Batch>(*catalog_);
    in_batch.clear();
  };
  for (const SegmentTable::Opened& segment : segments_->Sealed()) {
    const SegmentScan scan = {.segment = segment.segment,
                              .generation = segment.generation,
                              .segment_bytes = superblock_.segment_bytes,
                              .end = superblock_.segment_bytes,
                              .seed = superblock_.seed};
    const auto take = [&](const StoredRecord& record) {
      sequence_ = std::max(sequence_, record.sequence);
      const std::string& key = record.entry.record.key;
      if (const auto found = in_batch.find(key); found != in_batch.end()) {
        if (found->second > record.sequence) return;
      } else if (const auto known = catalog_->Find(key);
                 known.ok() && known->has_value() && (*known)->sequence > record.sequence) {
        return;
      }
      batch->Put(record);
      in_batch[key] = record.sequence;
      if (batch->size() >= kRebuildBatch) flush();
    };
    ScanSegment(*devices_[DeviceOf(segment.segment)], scan, [&](const StoredRecord& record) {
      take(record);
      return true;
    });
  }
  flush();
  return status;
}

}  // namespace larder::server
