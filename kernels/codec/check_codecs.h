// The check of an untrusted frame against the layouts of its codecs (stream_layout.h). A pure function.
#pragma once

#include "kernels/format/frame.h"

namespace larder {

// Whether this build can decode every stream of a parsed frame, sizes fit their codecs, and the
// fidelity is at most what the codecs give: kNone, kBadDescriptor, kBadStream or kBadShape. Untrusted
// frames pass through here after FrameView::Parse.
FrameFault CheckCodecs(const FrameView& frame);

}  // namespace larder
