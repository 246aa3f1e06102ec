// Frames in the form in which they are to lie on SSD, where the operator's plan for the model says that a block is
// stored there otherwise than in memory: at a lower fidelity, or exactly in less room.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "kernels/codec/block_coder.h"
#include "server/base/metrics.h"
#include "server/base/mutex.h"
#include "server/tier/byte_spans.h"

namespace larder::server {

// Thread-safe: one frame at a time. `metrics` outlives it.
class SsdRecoder {
 public:
  explicit SsdRecoder(Metrics& metrics) : metrics_(metrics) {}

  // The frame encoded by `recipe` from what it decodes to. nullopt when it is to stay as it is: it is as low as the
  // recipe already, nothing of it can be encoded, that would not make it smaller, or it does not verify (a frame
  // of damaged bytes must never get checksums of its own). Decodes, encodes: about 1 GB/s of raw bytes.
  std::optional<std::vector<std::byte>> Recode(const BlockRecipe& recipe, const ByteSpans& frame);

 private:
  Metrics& metrics_;
  Mutex mutex_;
  BlockCoder coder_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::byte> gathered_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::byte> raw_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace larder::server
