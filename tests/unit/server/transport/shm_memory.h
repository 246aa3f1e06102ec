// A client's side of a window of shared memory, for tests: a memfd, sealed or not, with its mapping.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "proto/contract/shm_window.h"
#include "server/base/check.h"

namespace larder::server {

class ShmMemory {
 public:
  explicit ShmMemory(size_t bytes, int seals = kShmSeals, unsigned flags = MFD_ALLOW_SEALING)
      : fd_(::memfd_create("window", flags | MFD_CLOEXEC)), bytes_(bytes) {
    LARDER_CHECK(fd_ >= 0 && ::ftruncate(fd_, static_cast<off_t>(bytes)) == 0);
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    LARDER_CHECK(memory != MAP_FAILED);
    data_ = static_cast<std::byte*>(memory);
    if (seals != 0) LARDER_CHECK(::fcntl(fd_, F_ADD_SEALS, seals) == 0);
  }
  ~ShmMemory() {
    ::munmap(data_, bytes_);
    ::close(fd_);
  }
  ShmMemory(const ShmMemory&) = delete;
  ShmMemory& operator=(const ShmMemory&) = delete;

  int fd() const { return fd_; }
  size_t bytes() const { return bytes_; }
  std::byte* data() const { return data_; }
  ProgressSlot& slot(size_t offset) const {
    return *reinterpret_cast<ProgressSlot*>(data_ + offset);
  }

 private:
  int fd_;
  size_t bytes_;
  std::byte* data_ = nullptr;
};

// Whether `socket` is connected to the local socket `name`.
inline bool ConnectTo(int socket, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return ::connect(socket, reinterpret_cast<sockaddr*>(&address), size) == 0;
}

// A connection to the local socket `name`; -1 when nobody listens there.
inline int ConnectLocal(const std::string& name) {
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (ConnectTo(fd, name)) return fd;
  ::close(fd);
  return -1;
}

}  // namespace larder::server
