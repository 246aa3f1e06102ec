// The blocks that the crash harness puts: spaces of two tenants with three manifests, stored raw, lossless
// and as fp8; the last lie on SSD as balanced. All spaces use the same prefix hashes with other bytes, so that a store which mixes spaces up
// returns wrong bytes. A block's bytes follow from its name and a version: whoever gets one can check
// every byte without having kept any.
//
// Pure functions; BlockJudge is confined to one thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/client.h"
#include "kernels/codec/block_coder.h"
#include "larder/v1/manifest.pb.h"

namespace larder::testing {

struct BlockName {
  uint32_t space = 0;  // place in CrashSpaces()
  uint32_t chain = 0;
  uint32_t position = 0;
  friend auto operator<=>(const BlockName&, const BlockName&) = default;
};
std::string Text(const BlockName& name);

struct CrashSpace {
  std::string tenant;
  v1::Manifest manifest;
  std::string codec;  // the plan that puts ask for; empty: the server's own
};
std::vector<CrashSpace> CrashSpaces();
// The server's ssd_codec_by_model.
inline constexpr char kCrashSsdCodecs[] = "crash-fp8=balanced";

PrefixHash CrashHash(uint32_t chain, uint32_t position);

// The bytes of one version. `dtype` kBf16: finite values, which the codecs can code.
void FillCrashBlock(const BlockName& name, uint32_t version, Dtype dtype,
                    std::span<std::byte> bytes);

PutBlock CrashBlock(const Space& space, const BlockName& name, uint32_t version);

// Tells whether bytes that a get brought are a version of a block: exactly, or exactly what the decoder of
// the frame's codec makes of it; or, when it lay on SSD in a lower form, of what fp8 makes of it.
class BlockJudge {
 public:
  bool Matches(const Space& space, const BlockName& name, uint32_t version,
               const GetResult& result, std::span<const std::byte> bytes);

 private:
  // Whether `bytes` are what a frame like `view` makes of raw_.
  bool AreMadeFromRaw(const FrameView& view, std::span<const std::byte> bytes);
  // raw_ becomes what its frame in memory decodes to.
  bool GoThroughMemory(const Space& space, const FrameView& view);

  BlockCoder coder_;
  std::vector<std::byte> raw_;
  std::vector<std::byte> decoded_;
};

}  // namespace larder::testing
