// Parameters of a codec as a frame's CodecDescriptor carries them: everything, besides the frame's
// header, that a decoder needs. FORMAT.md beside this file gives the meaning for each codec.
//
// The struct is the wire form: little-endian, no padding. std-only; device code includes it.
#pragma once

#include <cstdint>
#include <type_traits>

namespace larder {

// Numbers of the wire; never reused. 0 is kCodecRaw (kernels/format/frame.h).
enum class CodecId : uint16_t {
  kRaw = 0,
  kLossless = 1,      // exponents by rANS, sign and mantissa as they are
  kFp8 = 2,           // E4M3 or E5M2 with one scale per head
  kGgml = 3,          // q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl
  kAffine = 4,        // minimum and step per group, along tokens or along channels (KIVI)
  kKitty = 5,         // affine along tokens, strong channels with twice the bits
  kTurbo = 6,         // rotation and Lloyd-Max codebook (TurboQuant, MSE stage)
  kTurboProd = 7,     // the same and a 1-bit sketch of the residual (TurboQuant, product stage)
  kPolar = 8,         // recursive polar transform
  kPolarRope = 9,     // polar form of RoPE pairs
  kQjl = 10,          // sign sketch: scores only
  kUniform = 11,      // rotation, uniform steps and rANS
  kCacheGen = 12,     // symmetric steps per token and rANS by channel
  kTurboTiered = 13,  // kTurbo with a bit more for the strongest channels
};

enum class RopeScaling : uint8_t { kNone = 0, kLinear = 1, kNtk = 2, kLlama3 = 3 };

// Bits of CodecParams::transform, applied in this order before the quantiser.
inline constexpr uint8_t kTransformUnrope = 1;  // rotate keys back to position 0
inline constexpr uint8_t kTransformCentre = 2;  // subtract the mean of each channel over the block
inline constexpr uint8_t kTransformRotate = 4;  // seeded signs, then a Hadamard transform
inline constexpr uint8_t kTransformHaar =
    8;  // instead of kTransformRotate: a seeded dense rotation
inline constexpr uint8_t kTransformAll =
    kTransformUnrope | kTransformCentre | kTransformRotate | kTransformHaar;

inline constexpr uint16_t kSinksMax = 64;  // twice the most that a published method keeps

struct CodecParams {
  uint8_t transform = 0;
  uint8_t variant = 0;       // the codec's own: format, scale rule, axis
  uint8_t bits = 0;          // per code; 0 where the variant says it
  uint8_t rope_pairing = 0;  // 0 none, 1 (j, j + rotary_dim/2), 2 (2j, 2j + 1)
  uint8_t rope_scaling = 0;  // RopeScaling
  uint8_t reserved = 0;
  uint16_t group = 0;    // tokens or channels that share a scale; 0 where the codec has no groups
  uint16_t sinks = 0;    // first tokens of the stream that are stored raw
  uint16_t boosted = 0;  // kKitty, kTurboTiered: channels with more bits; kQjl: sketch size
  uint16_t rope_rotary_dim = 0;
  uint16_t reserved1 = 0;
  uint64_t seed = 0;  // of signs and random matrices
  double rope_theta = 0;
  float rope_scaling_factor = 1;
  float rope_attention_factor = 1;

  friend bool operator==(const CodecParams&, const CodecParams&) = default;
};
static_assert(sizeof(CodecParams) == 40);
static_assert(std::is_trivially_copyable_v<CodecParams>);

}  // namespace larder
