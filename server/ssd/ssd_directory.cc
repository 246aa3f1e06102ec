#include "server/ssd/ssd_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "proto/contract/errors.h"

namespace larder::server {
namespace {

absl::Status StorageFailedBy(std::string_view doing, int error) {
  return StorageFailed(doing, std::generic_category().message(error));
}

}  // namespace

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) close(descriptor_);
}
OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}
int OpenFile::Release() { return std::exchange(descriptor_, -1); }

absl::StatusOr<std::unique_ptr<SsdDirectory>> SsdDirectory::Lock(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return StorageFailedBy("making the directory " + path, error.value());
  OpenFile lock(open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return StorageFailedBy("opening the lock file in " + path, errno);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return DirectoryUnusable(path, "another server has locked it, or it is named twice");
    }
    return StorageFailedBy("locking " + path, errno);
  }
  return std::unique_ptr<SsdDirectory>(new SsdDirectory(path, std::move(lock)));
}

SsdDirectory::SsdDirectory(std::string path, OpenFile lock)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      has_superblock_(access((path_ + "/superblock").c_str(), F_OK) == 0) {}

absl::StatusOr<Superblock> SsdDirectory::ReadSuperblock() const {
  const OpenFile file(open((path_ + "/superblock").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return StorageFailedBy("opening the superblock of " + path_, errno);
  std::array<std::byte, sizeof(Superblock)> bytes{};
  const ssize_t read = pread(file.get(), bytes.data(), bytes.size(), 0);
  if (read < 0) return StorageFailedBy("reading the superblock of " + path_, errno);
  const auto block = DecodeSuperblock(std::span(bytes).first(static_cast<size_t>(read)));
  if (!block.has_value())
    return DirectoryUnusable(path_, "its superblock is damaged or of another version");
  return *block;
}

absl::Status SsdDirectory::WriteSuperblock(const Superblock& block) {
  const std::string made = path_ + "/superblock.new";
  {
    const OpenFile file(open(made.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return StorageFailedBy("making " + made, errno);
    std::array<std::byte, kIoAlignment> page{};
    std::memcpy(page.data(), &block, sizeof(block));
    if (pwrite(file.get(), page.data(), page.size(), 0) != static_cast<ssize_t>(page.size()) ||
        fsync(file.get()) != 0) {
      return StorageFailedBy("writing " + made, errno);
    }
  }
  if (rename(made.c_str(), (path_ + "/superblock").c_str()) != 0) {
    return StorageFailedBy("renaming " + made, errno);
  }
  const OpenFile directory(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || fsync(directory.get()) != 0) {
    return StorageFailedBy("syncing the directory " + path_, errno);
  }
  has_superblock_ = true;
  return absl::OkStatus();
}

absl::StatusOr<OpenFile> SsdDirectory::OpenSegments(bool make) const {
  const std::string path = path_ + "/segments";
  const int flags = O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0);
  OpenFile file(open(path.c_str(), flags | O_DIRECT, 0600));
  if (!file && errno == EINVAL) file = OpenFile(open(path.c_str(), flags, 0600));
  if (!file) return StorageFailedBy("opening " + path, errno);
  // The probe page: a file without it would answer its reads with the end of the file.
  if (const int error = posix_fallocate(file.get(), 0, kSegmentsBegin); error != 0) {
    return StorageFailedBy("reserving the first blocks of " + path, error);
  }
  return file;
}

int SsdDirectory::Reserve(const OpenFile& segments, uint64_t segment_bytes, uint32_t count) {
  const uint32_t held = CountSegments(segments, segment_bytes);
  if (held >= count) return 0;
  const uint64_t begin = kSegmentsBegin + held * segment_bytes;
  if (fallocate(segments.get(), 0, static_cast<off_t>(begin),
                static_cast<off_t>((count - held) * segment_bytes)) == 0) {
    return 0;
  }
  const int error = errno;
  // The file may have grown in part: such a segment does not count.
  if (ftruncate(segments.get(), static_cast<off_t>(begin)) != 0) return errno;
  return error;
}

uint32_t SsdDirectory::CountSegments(const OpenFile& segments, uint64_t segment_bytes) {
  struct stat status {};
  if (fstat(segments.get(), &status) != 0) return 0;
  const auto bytes = static_cast<uint64_t>(status.st_size);
  return bytes < kSegmentsBegin ? 0
                                : static_cast<uint32_t>((bytes - kSegmentsBegin) / segment_bytes);
}

absl::Status SsdDirectory::Truncate(const OpenFile& segments, uint64_t segment_bytes,
                                    uint32_t count) {
  if (ftruncate(segments.get(), static_cast<off_t>(kSegmentsBegin + count * segment_bytes)) != 0) {
    return StorageFailedBy("making the segments file smaller", errno);
  }
  return absl::OkStatus();
}

}  // namespace larder::server
