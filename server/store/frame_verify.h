// Checks a whole frame in memory: its header, and every checksum. O(frame bytes).
#pragma once

#include "kernels/format/frame.h"
#include "server/tier/byte_spans.h"

namespace larder::server {

// Of a frame of at least one byte.
FrameFault VerifyFrame(const ByteSpans& frame);

}  // namespace larder::server
