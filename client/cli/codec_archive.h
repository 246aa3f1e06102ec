// A cache in a file of frames (`larder codec encode`): what a server would store, outside a server.
//
//   file = frame | sequence          the frame itself when one holds the cache
//   sequence = "LDRS", u32 version 1, u64 frames (2 or more), frames x { u64 bytes, frame }
// Little-endian. A frame is kernels/format/FORMAT.md's; its prefix hash is the XXH3-128 of its raw
// bytes and its space is zero, so that no server takes it for a block of its own. Frames stand in the
// order of CutIntoPieces: by layers, then by tokens, without a hole.
// Status  of a file that is not so: INVALID_ARGUMENT, DATA_LOSS when a checksum does not match,
//         UNIMPLEMENTED for a codec that this build does not know.   Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/kv_cache.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

inline constexpr uint32_t kFrameSequenceMagic = 0x5352444Cu;  // "LDRS"
inline constexpr uint32_t kFrameSequenceVersion = 1;

struct CodecArchive {
  std::vector<std::byte> bytes;
  uint64_t frames = 0;
  uint64_t coded_streams = 0;
  uint64_t fallback_streams = 0;  // stand raw: their values did not fit the codec
};

// INVALID_ARGUMENT when the cache can not be cut or a piece does not fit a frame when coded.
absl::StatusOr<CodecArchive> EncodeArchive(const KvCache& cache, const BlockRecipe& recipe,
                                           uint32_t block_tokens);

struct DecodedArchive {
  KvCache cache;
  Fidelity fidelity = Fidelity::kExact;  // the lowest of its frames
  uint64_t frames = 0;
};

// Every checksum is verified before a byte is decoded. `name` is for error texts.
absl::StatusOr<DecodedArchive> DecodeArchive(std::span<const std::byte> file,
                                             std::string_view name);

}  // namespace larder::cli
