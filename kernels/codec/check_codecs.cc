#include "kernels/codec/check_codecs.h"

#include <algorithm>
#include <vector>

#include "kernels/codec/stream_layout.h"

namespace larder {

FrameFault CheckCodecs(const FrameView& frame) {
  const KvShape shape = frame.shape();
  std::vector<StreamCodec> codecs;
  for (const CodecDescriptor& descriptor : frame.descriptors()) {
    const auto codec = ReadDescriptor(descriptor);
    if (!codec) return FrameFault::kBadDescriptor;
    codecs.push_back(*codec);
  }
  Fidelity fidelity = Fidelity::kExact;
  for (const StreamEntry& stream : frame.streams()) {
    const StreamCodec& codec = codecs[stream.descriptor];
    if (codec.id == CodecId::kRaw) continue;
    const auto kind = static_cast<StreamKind>(stream.kind);
    if (!Applies(codec, shape, kind, frame.header().token_begin)) return FrameFault::kBadDescriptor;
    const StreamLayout layout = LayoutOf(codec, shape, kind, stream.head_count);
    const bool fits = layout.table_bytes == 0 ? stream.bytes == layout.stream_bytes_max
                                              : stream.bytes <= layout.stream_bytes_max;
    if (!fits) return FrameFault::kBadStream;
    fidelity = std::min(fidelity, FidelityOf(codec));
  }
  return frame.fidelity() <= fidelity ? FrameFault::kNone : FrameFault::kBadShape;
}

}  // namespace larder
