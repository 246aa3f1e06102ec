// The blocks that the crash harness puts: spaces of two tenants with three manifests, stored raw, lossless
// and as fp8. All spaces use the same prefix hashes with other bytes, so that a store which mixes spaces up
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
  bool floats = false;
};
std::vector<CrashSpace> CrashSpaces();

PrefixHash CrashHash(uint32_t chain, uint32_t position);

// The bytes of one version. `floats`: finite bf16 values, which the codecs can code.
void FillCrashBlock(const BlockName& name, uint32_t version, bool floats,
                    std::span<std::byte> bytes);

PutBlock CrashBlock(const Space& space, const BlockName& name, uint32_t version, bool floats);

// Tells whether bytes that a get brought are a version of a block: exactly, or exactly what the decoder of
// the frame's codec makes of it.
class BlockJudge {
 public:
  bool Matches(const BlockName& name, uint32_t version, bool floats, const GetResult& result,
               std::span<const std::byte> bytes);

 private:
  BlockCoder coder_;
  std::vector<std::byte> raw_;
  std::vector<std::byte> decoded_;
};

}  // namespace larder::testing
