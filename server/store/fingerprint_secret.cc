#include "server/store/fingerprint_secret.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "proto/contract/errors.h"

namespace larder::server {
namespace {

constexpr char kFileName[] = "fingerprint-secret";
constexpr char kMagic[8] = {'L', 'A', 'R', 'D', 'F', 'P', 'S', '1'};

struct SecretFile {
  char magic[8];
  std::array<uint8_t, Fingerprinter::kSecretBytes> secret;
  uint64_t checksum;
};
static_assert(sizeof(SecretFile) == 8 + Fingerprinter::kSecretBytes + 8);

uint64_t ChecksumOf(const SecretFile& file) {
  return XXH3_64bits(&file, offsetof(SecretFile, checksum));
}

absl::Status Unusable(const std::string& path, std::string_view expected) {
  return InvalidField("ssd_path", path, expected);
}

// Whole file to the disk under another name, then renamed: a crash leaves the old state or the new.
bool WriteDurably(const std::string& directory, const std::string& path, const SecretFile& file) {
  const std::string temporary = path + ".new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = ::write(fd, &file, sizeof(file)) == sizeof(file) && ::fsync(fd) == 0;
  ::close(fd);
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) return false;
  const int folder = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = folder >= 0 && ::fsync(folder) == 0;
  if (folder >= 0) ::close(folder);
  return synced;
}

}  // namespace

absl::StatusOr<std::array<uint8_t, Fingerprinter::kSecretBytes>> SecretOf(
    const std::string& directory, bool may_make) {
  const std::string path = directory + "/" + kFileName;
  SecretFile file{};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    const bool whole = ::read(fd, &file, sizeof(file)) == sizeof(file);
    ::close(fd);
    if (!whole || std::memcmp(file.magic, kMagic, sizeof(kMagic)) != 0 ||
        file.checksum != ChecksumOf(file)) {
      return Unusable(path,
                      "an undamaged file; restore it, or give up the directory's blocks");
    }
    return file.secret;
  }
  if (errno != ENOENT) return Unusable(path, "a file that can be read");
  if (!may_make) {
    return Unusable(path,
                    "the file that was there: without it no block in the directory is found; "
                    "restore it, or empty the directory");
  }
  std::memcpy(file.magic, kMagic, sizeof(kMagic));
  file.secret = RandomSecret();
  file.checksum = ChecksumOf(file);
  if (!WriteDurably(directory, path, file)) return Unusable(path, "a file that can be written");
  return file.secret;
}

}  // namespace larder::server
