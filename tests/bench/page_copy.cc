// What one memcpy between the kinds of pages that the plane "shm" copies between can move: from anonymous
// memory to shared tmpfs pages (get), or back (put), both touched beforehand and both as large as the working
// set. Nothing is checked: it is the ceiling of a transfer that verifies.
//
//   page_copy --op get|put [load flags]
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <iostream>

#include "tests/bench/transfer_load.h"

namespace larder::bench {
namespace {

int Run(const TransferOptions& options) {
  WorkingSet ours(options.block_bytes, options.blocks);
  const size_t bytes = options.block_bytes * options.blocks;
  const int fd = ::memfd_create("page_copy", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return 1;
  void* const mapped =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED) return 1;
  auto* const shared = static_cast<std::byte*>(mapped);
  const bool get = options.op == "get";
  const int rc = RunTransferLoad(
      options,
      [&](uint64_t, uint64_t first) {
        const auto blocks = ours.Blocks(first, options.batch);
        std::byte* const window = shared + first * options.block_bytes;
        if (get) {
          std::memcpy(window, blocks.data(), blocks.size());
        } else {
          std::memcpy(blocks.data(), window, blocks.size());
        }
        return true;
      },
      [] { return 0.0; });
  ::munmap(mapped, bytes);
  return rc;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  larder::bench::TransferOptions options;
  CLI::App app("memcpy between anonymous and shared pages.");
  larder::bench::AddTransferFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  return larder::bench::Run(options);
}
