// How blocks of one group are stored: which codec each stream of a block of some shape, at some position, is to be coded with.
// Pure functions over plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/codec/registry.h"
#include "kernels/codec/rope_params.h"
#include "kernels/format/kv_layout.h"

namespace larder {

// Layers [first, last] of the model, both included.
struct LayerPlan {
  uint32_t first = 0;
  uint32_t last = 0;
  CodecPlan plan;
};

// How blocks of one group are stored.
struct BlockRecipe {
  CodecPlan plan;
  RopeParams rope;
  // First tokens of the first block of a chain that stay raw: attention sinks have atypical keys that
  // would stretch every range. 0 to kSinksMax.
  uint16_t sinks = 0;
  // The first and last layers of the model are the most sensitive: this many of each take
  // `edge_plan`. Counted within the group.
  uint16_t edge_layers = 0;
  CodecPlan edge_plan;
  // Layers with a plan of their own, whatever else holds for them; the first row that names a layer counts.
  std::vector<LayerPlan> layer_plans;
  // A block with fewer tokens than this is the growing tail of a request: stored raw. 0: none is.
  uint32_t full_tokens = 0;
};

// What a stream is to be coded with: the plan's codec with the model's rotation and the sinks filled in, or raw. Values that do
// not fit the codec are another matter.
StreamCodec CodecOf(const BlockRecipe& recipe, const KvShape& shape, uint64_t token_begin,
                    const RawStream& stream);

// The same for every stream, in the order of RawStreams(shape).
std::vector<StreamCodec> CodecsOf(const BlockRecipe& recipe, const KvShape& shape,
                                  uint64_t token_begin);

}  // namespace larder
