// What larderd does from its command line to its end, for its main() and for that of the test server.
#pragma once

#include "server/server.h"

namespace larder::server {

// Prints one JSON line on stdout when it serves; logs go to stderr; SIGTERM and SIGINT drain. Returns the process's exit code. Once
// per process, before any other thread starts: it blocks those signals.
int RunLarderd(int argc, const char* const* argv, const HbmFactory& hbm = CudaHbm);

}  // namespace larder::server
