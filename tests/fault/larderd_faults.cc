// The test server: larderd with fault points, planted bugs and, with --hbm-fake, an HBM tier in host memory.
#include <cstdio>
#include <memory>
#include <string>

#include "server/base/fault_flags.h"
#include "server/larderd.h"
#include "tests/fakes/fake_device_arena.h"

int main(int argc, char** argv) {
  using namespace larder::server;
  const auto flags = TakeFaultFlags(argc, argv);
  if (!flags.ok()) {
    std::fprintf(stderr, "larderd_faults: %s\n", std::string(flags.status().message()).c_str());
    return 2;
  }
  const HbmFactory fake = [](uint64_t bytes) { return std::make_unique<FakeDeviceArena>(bytes); };
  return RunLarderd(static_cast<int>(flags->arguments.size()), flags->arguments.data(),
                    flags->hbm_fake ? fake : CudaHbm);
}
