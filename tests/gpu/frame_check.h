// Whole payloads by a plan on a machine (tile_check.h), which also has EncodeFrames and DecodeFrames. Compared with BlockCoder by
// frame_plan_test, where the machine is the host, and with the host by gpu_codec_check. No test framework.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/codec/block_recipe.h"
#include "kernels/codec/device/frame_plan.h"
#include "kernels/codec/number_formats.h"

namespace larder {

// Blocks of one shape, [block][raw block], and how they are to be stored.
struct FrameCase {
  KvShape shape;
  BlockRecipe recipe;
  uint64_t token_begin = 0;
  uint32_t blocks = 1;
  FramePlacing placing = FramePlacing::kFixed;
  std::vector<std::byte> raw;

  std::vector<StreamCodec> codecs() const { return CodecsOf(recipe, shape, token_begin); }
  std::optional<FramePlan> Plan() const {
    return FramePlan::Create(shape, codecs(), token_begin, placing);
  }
  uint64_t raw_bytes() const { return RawBytes(shape).value(); }
  std::span<const std::byte> Raw(uint32_t block) const {
    return std::span(raw).subspan(block * raw_bytes(), raw_bytes());
  }
};

// Payloads, [block][plan's payload_bytes()], and what an encoder says of them.
struct FramePayloads {
  std::vector<std::byte> bytes;
  std::vector<PlacedStream> placed;  // [block][stream]; of a packed plan
  std::vector<uint32_t> refused;
};

struct DecodedFrames {
  std::vector<std::byte> raw;
  std::vector<uint32_t> refused;
};

// The plan's memory on a machine besides rows and payloads.
template <typename Machine>
struct FrameBuffers {
  using Buffer = typename Machine::Buffer;
  FrameBuffers(Machine& machine, const FrameCase& of, const FramePlan& plan, uint64_t scratch_bytes,
               std::vector<PlacedStream> placed_in)
      : streams(size_t{of.blocks} * of.codecs().size()),
        image(machine.Put(plan.image())),
        scratch(scratch_bytes),
        flags(machine.Put(
            std::vector<std::byte>(size_t{plan.flags()} * of.blocks * 4, std::byte{7}))),
        placed(PutPlaced(machine, std::move(placed_in))) {
    memory.blocks = of.blocks;
    memory.image = image.get();
    memory.refused = reinterpret_cast<uint32_t*>(flags.get());
    if (!plan.packed()) return;
    memory.scratch = scratch.get();
    memory.placed = reinterpret_cast<PlacedStream*>(placed.get());
  }
  Buffer PutPlaced(Machine& machine, std::vector<PlacedStream> placed_in) const {
    placed_in.resize(streams);
    return machine.Put(std::as_bytes(std::span(placed_in)));
  }
  std::vector<uint32_t> Refused(Machine& machine, const FramePlan& plan) {
    std::vector<uint32_t> refused(size_t{plan.flags()} * memory.blocks);
    machine.Get(flags, std::as_writable_bytes(std::span(refused)));
    return refused;
  }

  size_t streams;
  Buffer image, scratch, flags, placed;
  FrameMemory memory;
};

// nullopt when the frames can not be launched. What no encoder writes is 0xA5.
template <typename Machine>
std::optional<FramePayloads> EncodeCase(Machine& machine, const FrameCase& of,
                                        const FramePlan& plan) {
  FrameBuffers<Machine> buffers(machine, of, plan, plan.scratch_bytes(of.blocks), {});
  FramePayloads out;
  out.bytes.assign(plan.payload_bytes() * of.blocks, std::byte{0xA5});
  auto rows = machine.Put(of.raw);
  auto payloads = machine.Put(out.bytes);
  buffers.memory.rows = RawRowsAt(of.shape, rows.get());
  buffers.memory.payloads = payloads.get();
  buffers.memory.payload_stride = static_cast<int64_t>(plan.payload_bytes());
  if (!machine.EncodeFrames(plan.BindEncode(buffers.memory))) return std::nullopt;
  machine.Get(payloads, out.bytes);
  out.refused = buffers.Refused(machine, plan);
  if (plan.packed()) out.placed.resize(buffers.streams);
  machine.Get(buffers.placed, std::as_writable_bytes(std::span(out.placed)));
  return out;
}

// The same; rows that no decoder writes are 0xA5.
template <typename Machine>
std::optional<DecodedFrames> DecodeCase(Machine& machine, const FrameCase& of,
                                        const FramePlan& plan, const FramePayloads& in) {
  FrameBuffers<Machine> buffers(machine, of, plan, plan.decode_scratch_bytes(of.blocks), in.placed);
  DecodedFrames out;
  out.raw.assign(of.raw.size(), std::byte{0xA5});
  auto rows = machine.Put(out.raw);
  auto payloads = machine.Put(in.bytes);
  buffers.memory.rows = RawRowsAt(of.shape, rows.get());
  buffers.memory.payloads = payloads.get();
  buffers.memory.payload_stride = static_cast<int64_t>(plan.payload_bytes());
  if (!machine.DecodeFrames(plan.BindDecode(buffers.memory))) return std::nullopt;
  machine.Get(rows, out.raw);
  out.refused = buffers.Refused(machine, plan);
  return out;
}

// Small blocks of any shape that a plan takes: many heads or one, latents, ragged tokens, either type and order, any plan for
// inner and outer layers, sinks at the start of a chain. With `spoil` some values are infinite.
inline FrameCase RandomFrameCase(uint64_t seed, bool spoil) {
  static constexpr const char* kPlans[] = {
      "lossless", "compact", "compact2",   "cachegen",          "uniform4", "fp8",  "balanced",
      "q8q4",     "kivi2",   "raw/turbo3", "lossless/uniform2", "kitty",    "polar"};
  static constexpr uint32_t kDims[] = {16, 64, 80, 128};
  std::mt19937_64 random(seed);
  const auto choose = [&](uint64_t count) { return static_cast<uint32_t>(random() % count); };
  const auto plan = [&] {
    std::string why;
    return ParsePlan(kPlans[choose(std::size(kPlans))], &why).value();
  };
  FrameCase of;
  KvShape& shape = of.shape;
  const bool latent = choose(5) == 0;
  shape.kind = latent ? GroupKind::kLatent : GroupKind::kAttention;
  shape.dtype = choose(3) == 0 ? Dtype::kFp16 : Dtype::kBf16;
  shape.axis_order = choose(2) == 0 ? AxisOrder::kHnd : AxisOrder::kNhd;
  shape.layer_begin = choose(4);
  shape.layers = 1 + choose(5);
  shape.kv_heads = latent ? 1 : 1 + choose(4);
  shape.head_dim_k = latent ? 512 : kDims[choose(4)];
  shape.head_dim_v = latent ? 64 : kDims[choose(4)];
  shape.tokens = 1 + choose(latent ? 20 : 70);
  of.token_begin = choose(2) == 0 ? 0 : choose(50'000);
  of.blocks = 1 + choose(3);
  of.placing = choose(2) == 0 ? FramePlacing::kPacked : FramePlacing::kFixed;
  of.recipe.plan = plan();
  of.recipe.edge_plan = plan();
  of.recipe.edge_layers = static_cast<uint16_t>(choose(3));
  of.recipe.sinks = static_cast<uint16_t>(choose(5));
  of.recipe.rope.pairing = static_cast<uint8_t>(1 + choose(2));
  of.recipe.rope.rotary_dim = static_cast<uint16_t>(shape.head_dim_k);
  of.recipe.rope.theta = 10'000;
  of.raw.resize(of.raw_bytes() * of.blocks);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < of.raw.size(); i += 2) {
    const float value = normal(random);
    const uint16_t element = shape.dtype == Dtype::kBf16 ? Bf16OfFloat(value) : Fp16OfFloat(value);
    std::memcpy(of.raw.data() + i, &element, 2);
  }
  for (uint32_t i = 0; spoil && i < 1 + of.blocks; ++i) {
    const uint16_t infinite = shape.dtype == Dtype::kBf16 ? 0x7F80 : 0x7C00;
    std::memcpy(of.raw.data() + random() % (of.raw.size() / 2) * 2, &infinite, 2);
  }
  return of;
}

inline bool AnyRefused(const FrameCase& of, const FramePlan& plan, const FramePayloads& payloads,
                       uint32_t block) {
  for (uint32_t stream = 0; stream < of.codecs().size(); ++stream) {
    const auto flag = plan.FlagOf(stream, block, of.blocks);
    if (flag && payloads.refused[*flag] != 0) return true;
  }
  return false;
}

// "" when the machine makes and reads the same payloads as `host`, damaged ones included; "skip" when there is no plan.
template <typename Machine, typename Host>
std::string CheckFrames(Machine& machine, Host& host, uint64_t seed) {
  const FrameCase of = RandomFrameCase(seed, seed % 3 == 0);
  const auto plan = of.Plan();
  if (!plan) return "skip";
  const std::string name = "frames of seed " + std::to_string(seed) + ": ";
  auto got = EncodeCase(machine, of, *plan);
  auto want = EncodeCase(host, of, *plan);
  if (!got || !want) return name + "encoder not launched";
  if (got->refused != want->refused) return name + "other streams are refused";
  if (std::memcmp(got->placed.data(), want->placed.data(),
                  want->placed.size() * sizeof(PlacedStream)) != 0) {
    return name + "streams stand elsewhere";
  }
  for (uint32_t block = 0; block < of.blocks; ++block) {
    // Of a kFixed plan a block with a stream that can not be coded means nothing.
    if (!plan->packed() && AnyRefused(of, *plan, *want, block)) continue;
    const auto bytes_of = [&](FramePayloads& of_payloads) {
      return std::span(of_payloads.bytes)
          .subspan(block * plan->payload_bytes(), plan->payload_bytes());
    };
    if (!std::ranges::equal(bytes_of(*got), bytes_of(*want))) return name + "payloads differ";
  }
  std::mt19937_64 random(seed);
  for (int faults = 0; faults < 3; ++faults) {
    if (faults > 0) want->bytes[random() % want->bytes.size()] ^= std::byte{16};
    const auto back = DecodeCase(machine, of, *plan, *want);
    const auto back_there = DecodeCase(host, of, *plan, *want);
    if (!back || !back_there) return name + "decoder not launched";
    if (back->refused != back_there->refused) return name + "other streams do not decode";
    const bool whole = std::ranges::count(back->refused, 1u) == 0;
    if (whole && back->raw != back_there->raw) return name + "rows differ";
  }
  return "";
}

}  // namespace larder
