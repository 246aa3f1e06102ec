#include "kernels/codec/rope_params.h"

#include <algorithm>

namespace larder {

RopeParams RopeParamsOf(const RopeDescription& rope) {
  RopeParams params;
  params.rotary_dim = static_cast<uint16_t>(std::min<uint32_t>(rope.rotary_dim, 0xFFFF));
  params.theta = rope.theta;
  params.scaling_factor = static_cast<float>(rope.scaling_factor);
  params.attention_factor = static_cast<float>(rope.attention_factor);
  if (rope.scaling.empty() || rope.scaling == "none") {
    params.scaling_factor = 1;
  } else if (rope.scaling == "linear") {
    params.scaling = RopeScaling::kLinear;
  } else if (rope.scaling == "ntk") {
    params.scaling = RopeScaling::kNtk;
  } else if (rope.scaling == "llama3") {
    params.scaling = RopeScaling::kLlama3;
  } else {
    return {};
  }
  if (params.attention_factor == 0) params.attention_factor = 1;
  params.pairing = rope.pairing;
  return params;
}

}  // namespace larder
