// A model's rotary embedding: as manifests describe it, and as codec parameters name it.
//
// Values; pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/codec/codec_params.h"

namespace larder {

struct RopeParams {
  uint8_t pairing = 0;  // 0: none; 1 and 2 as CodecParams::rope_pairing
  uint16_t rotary_dim = 0;
  double theta = 0;
  RopeScaling scaling = RopeScaling::kNone;
  float scaling_factor = 1;
  float attention_factor = 1;
};

// In a manifest's words. The view lives as long as the call it is given to.
struct RopeDescription {
  uint8_t pairing = 0;  // as RopeParams
  uint32_t rotary_dim = 0;
  double theta = 0;
  std::string_view scaling;  // "", "none", "linear", "ntk", "llama3"
  double scaling_factor = 1;
  double attention_factor = 1;  // engines that do not use one may leave it at 0
};

// No rotation for scalings that codecs do not know (yarn): keys are then centred as they are.
RopeParams RopeParamsOf(const RopeDescription& rope);

}  // namespace larder
