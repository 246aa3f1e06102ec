// Every limit of the wire contract, with its reason. Announced by Capabilities, enforced by
// convert.h on both ends.
#pragma once

#include <cstdint>

namespace larder {

inline constexpr uint32_t kContractVersionMajor = 1;
inline constexpr uint32_t kContractVersionMinor = 0;

inline constexpr uint32_t kPrefixHashBytesMax =
    32;  // SHA-256 and blake3; larger digests add nothing
inline constexpr uint32_t kLookupHashesMax =
    65'536;  // 2^20 tokens in 16-token blocks; 2.2 MB, under gRPC's 4 MiB message limit
inline constexpr uint32_t kPutBlocksMax = 65'536;     // as above
inline constexpr uint32_t kGetBlocksMax = 65'536;     // as above
inline constexpr uint32_t kRetainHashesMax = 65'536;  // as above
inline constexpr uint32_t kBlockTokensMax =
    2'048;  // beyond this a block is a document, and a partial match is worthless
inline constexpr uint32_t kLeaseTtlSecondsMax =
    600;  // a request that runs longer renews; a dead client holds blocks no longer
inline constexpr uint32_t kLeasesPerClientMax =
    4'096;  // concurrent requests of one worker, with a wide margin
inline constexpr uint32_t kClientIdBytesMax = 64;
inline constexpr uint32_t kTenantBytesMax = 64;
inline constexpr uint32_t kSpacesMax =
    4'096;  // metrics have one series per space; 16-bit space index
inline constexpr uint32_t kModelNameBytesMax = 256;
inline constexpr uint32_t kNameBytesMax = 64;           // adapter, group, scheme, seed
inline constexpr uint32_t kWeightsDigestBytesMax = 64;  // SHA-512
inline constexpr uint32_t kLayerGroupsMax = 64;
inline constexpr uint32_t kLayersMax = 1'024;
inline constexpr uint32_t kHeadsMax = 1'024;
inline constexpr uint32_t kHeadDimMax = 8'192;
inline constexpr uint32_t kUnitBytesMax = 64u << 20;  // one state snapshot may fill a whole frame
inline constexpr uint32_t kPriorityMax = 100;
inline constexpr uint32_t kPriorityDefault =
    35;  // TensorRT-LLM's default, so its hints carry over unchanged
inline constexpr uint32_t kTtlSecondsMax = 365u * 86'400;  // a year; longer means "never"
inline constexpr uint64_t kWireChunkBytes =
    1u << 20;  // payload per stream message: the fastest size over TCP, well under 4 MiB
// Calls over a window's own connection: the largest fits the buffer that Linux gives a local socket (208 KiB), as does
// an answer with a text for every block.
inline constexpr uint64_t kWindowCallBytesMax = 64u << 10;
inline constexpr uint32_t kWindowCallBlocksMax = 256;
inline constexpr uint32_t kWindowCallsMax =
    64;  // not answered yet: the threads of one worker that wait, with a margin
inline constexpr uint32_t kQuarantineListMax = 1'024;  // newest kept; the counter is never cut

}  // namespace larder
