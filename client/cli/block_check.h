// Whether a fetched block is what the store owes for the bytes that were put: those bytes, or, when a
// lossy codec stored them, exactly what its decoder makes of them.
//
// The second is checked from the frame that arrived: the expected bytes, encoded stream by stream as
// that frame says, must give its header region (and so every stream's checksum), and their decoding
// must give the fetched bytes. Thread-compatible; keeps its scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/cli/synthetic_kv.h"
#include "client/client.h"
#include "kernels/codec/block_coder.h"

namespace larder::cli {

class BlockCheck {
 public:
  // `kv` outlives it.
  explicit BlockCheck(const SyntheticKv& kv) : kv_(kv) {}

  // `result` was fetched with keep_frame_header; `fetched` is the whole destination.
  bool IsRight(uint64_t block_id, uint64_t token_begin, const GetResult& result,
               std::span<const std::byte> fetched);

 private:
  const SyntheticKv& kv_;
  BlockCoder coder_;
  std::vector<std::byte> raw_;
};

}  // namespace larder::cli
