// A cache in a file of frames (`larder codec encode`): what a server would store, outside a server.
//
// FORMAT.md beside this file has the bytes. The space of the frames is zero and their prefix hash the
// checksum of their raw bytes, so that no server takes them for blocks of its own.
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
  uint64_t streams = 0;
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
