#include "kernels/codec/block_recipe.h"

#include <algorithm>

#include "kernels/codec/stream_layout.h"

namespace larder {
namespace {

const CodecPlan& PlanOf(const BlockRecipe& recipe, const KvShape& shape, uint32_t layer) {
  for (const LayerPlan& row : recipe.layer_plans) {
    if (row.first <= layer && layer <= row.last) return row.plan;
  }
  const uint32_t within = layer - shape.layer_begin;
  const bool edge = within < recipe.edge_layers || shape.layers - within <= recipe.edge_layers;
  return edge ? recipe.edge_plan : recipe.plan;
}

}  // namespace

StreamCodec CodecOf(const BlockRecipe& recipe, const KvShape& shape, uint64_t token_begin,
                    const RawStream& stream) {
  if (!IsCodable(shape, stream.kind) || shape.tokens < recipe.full_tokens) return {};
  const CodecPlan& plan = PlanOf(recipe, shape, stream.layer);
  StreamCodec codec = stream.kind == StreamKind::kKey ? plan.key : plan.value;
  if (codec.id == CodecId::kRaw) return codec;
  CodecParams& params = codec.params;
  if ((params.transform & kTransformUnrope) != 0) {
    const RopeParams& rope = recipe.rope;
    CodecParams turned = params;
    turned.rope_pairing = rope.pairing;
    turned.rope_rotary_dim = rope.rotary_dim;
    turned.rope_theta = rope.theta;
    turned.rope_scaling = static_cast<uint8_t>(rope.scaling);
    turned.rope_scaling_factor = rope.scaling_factor;
    turned.rope_attention_factor = rope.attention_factor;
    // Keys are centred as they are when readers would refuse the rotation (a manifest may name any,
    // of any width) or the tables do not reach the position.
    const bool turns = RopeFieldsHold(turned) && rope.rotary_dim <= shape.head_dim_k &&
                       RopeReaches(token_begin, shape.tokens);
    if (turns) {
      params = turned;
    } else {
      params.transform &= ~kTransformUnrope;
    }
  }
  const uint32_t sinks = token_begin == 0 ? std::min<uint32_t>(recipe.sinks, kSinksMax) : 0;
  params.sinks = static_cast<uint16_t>(sinks);
  return Applies(codec, shape, stream.kind, token_begin) ? codec : StreamCodec{};
}

std::vector<StreamCodec> CodecsOf(const BlockRecipe& recipe, const KvShape& shape,
                                  uint64_t token_begin) {
  std::vector<StreamCodec> codecs;
  for (const RawStream& stream : RawStreams(shape)) {
    codecs.push_back(CodecOf(recipe, shape, token_begin, stream));
  }
  return codecs;
}

}  // namespace larder
