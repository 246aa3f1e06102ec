// One directory of the SSD tier on disk: `lock`, `superblock`, `segments` and, in the first one,
// `catalog/`. Blocking calls; no threads, no state beyond descriptors.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/ssd/segment_format.h"

namespace larder::server {

// An owned descriptor. Move-only.
class OpenFile {
 public:
  OpenFile() = default;
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile();
  OpenFile(OpenFile&& other) noexcept : descriptor_(other.Release()) {}
  OpenFile& operator=(OpenFile&& other) noexcept;

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int Release();
  int descriptor_ = -1;
};

// Thread-compatible; its const methods are thread-safe.
class SsdDirectory {
 public:
  // Makes the directory when absent and locks it until this dies. FAILED_PRECONDITION: another
  // process has it. UNAVAILABLE: the operating system refuses.
  static absl::StatusOr<std::unique_ptr<SsdDirectory>> Lock(const std::string& path);

  bool has_superblock() const { return has_superblock_; }
  // FAILED_PRECONDITION when it is damaged or of another version: an operator decides, since the
  // segments may hold all that there is.
  absl::StatusOr<Superblock> ReadSuperblock() const;
  // Durable when it returns.
  absl::Status WriteSuperblock(const Superblock& block);

  // Opens the segments file for direct I/O, or buffered where the file system has none. Makes it only
  // with `make`: a file that was there and is gone means that the device is.
  absl::StatusOr<OpenFile> OpenSegments(bool make) const;
  // Reserves the blocks of segments [0, count) of the open file; the error is the errno (ENOSPC).
  static int Reserve(const OpenFile& segments, uint64_t segment_bytes, uint32_t count);
  // Whole segments that the file holds.
  static uint32_t CountSegments(const OpenFile& segments, uint64_t segment_bytes);
  // Gives back what lies behind segment `count`.
  static absl::Status Truncate(const OpenFile& segments, uint64_t segment_bytes, uint32_t count);

  const std::string& path() const { return path_; }
  std::string catalog_path() const { return path_ + "/catalog"; }

 private:
  SsdDirectory(std::string path, OpenFile lock);
  const std::string path_;
  const OpenFile lock_;
  bool has_superblock_ = false;
};

}  // namespace larder::server
