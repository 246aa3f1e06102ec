#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <utility>

#include "tests/integration/hostile_inputs.h"
#include "tests/unit/kernels/format/sample_frame.h"

namespace larder::testing {
namespace {

std::string Open(uint64_t space, uint32_t blocks) {
  v1::PutRequest message;
  message.mutable_open()->set_space_id(space);
  message.mutable_open()->set_blocks(blocks);
  return message.SerializeAsString();
}

std::string Part(uint32_t index, uint64_t frame_bytes, std::string payload,
                 const v1::Retention& retention = {}) {
  v1::PutRequest message;
  v1::BlockPart* part = message.add_parts();
  part->set_index(index);
  part->set_frame_bytes(frame_bytes);
  *part->mutable_retention() = retention;
  part->set_payload(std::move(payload));
  return message.SerializeAsString();
}

Request PutOf(std::vector<std::string> messages, Request::End end = Request::End::kHalfClose) {
  return {"Cache/Put", std::move(messages), {}, end};
}

FrameIdentity IdentityOf(Random& random, const Target& target) {
  FrameIdentity identity = RandomIdentity(random);
  identity.space_digest = target.space.digest;
  identity.manifest_digest = target.space.manifest_digest;
  identity.parent_hash = {};
  identity.parent_hash_bytes = 0;
  return identity;
}

// A frame that would be stored, of a block that nobody has.
Bytes GoodFrame(Random& random, const Target& target) {
  const auto raw = RandomBytes(random, RawBytes(target.space.shape).value());
  return MakeFrame(IdentityOf(random, target), target.space.shape, raw);
}

Request PutFrame(const Target& target, const std::string& frame) {
  return PutOf({Open(target.space.id, 1) + Part(0, frame.size(), frame)});
}

Request TruncatedPut(Random& random, const Target& target, Request::End end) {
  const Bytes frame = GoodFrame(random, target);
  const size_t sent = random() % frame.size();
  return PutOf({Open(target.space.id, 1), Part(0, frame.size(), Text(frame).substr(0, sent))}, end);
}

// Sizes, counts, offsets and enums of the header region replaced, under a root that agrees again.
Request PutForged(Random& random, const Target& target) {
  constexpr size_t kIdentityOffset =
      offsetof(FrameHeader, token_begin);  // from here on: whose block it is
  for (;;) {
    Bytes frame = GoodFrame(random, target);
    const size_t tables = Load<FrameHeader>(frame, 0).header_bytes - sizeof(FrameHeader);
    for (uint64_t fields = 1 + random() % 3; fields > 0; --fields) {
      size_t at = random() % (kIdentityOffset + tables);
      if (at >= kIdentityOffset) at += sizeof(FrameHeader) - kIdentityOffset;
      static constexpr uint64_t kEdges[] = {0, 1, 63, 64, 0x7FFFFFFF, 0xFFFFFFFF, UINT64_MAX};
      const uint64_t value = random() % 2 ? random() : kEdges[random() % std::size(kEdges)];
      const size_t width = size_t{1} << random() % 4;
      std::memcpy(frame.data() + at, &value, std::min(width, sizeof(FrameHeader) + tables - at));
    }
    Reroot(&frame);
    // By chance still a good frame (the same value, another fidelity): not hostile.
    if (ParseAndVerify(frame) != FrameFault::kNone) return PutFrame(target, Text(frame));
  }
}

Request PutOtherShape(Random& random, const Target& target) {
  KvShape shape = target.space.shape;
  switch (random() % 4) {
    case 0:
      ++shape.layers;
      break;
    case 1:
      ++shape.unit_bytes;
      break;
    case 2:
      ++shape.tokens;
      break;
    default:
      ++shape.layer_begin;
      break;
  }
  const Bytes raw = RandomBytes(random, RawBytes(shape).value());
  return PutFrame(target, Text(MakeFrame(IdentityOf(random, target), shape, raw)));
}

Request PutAs(Random& random, const Target& target,
              void (*change)(Random&, const Target&, FrameIdentity*)) {
  FrameIdentity identity = IdentityOf(random, target);
  change(random, target, &identity);
  const Bytes raw = RandomBytes(random, RawBytes(target.space.shape).value());
  return PutFrame(target, Text(MakeFrame(identity, target.space.shape, raw)));
}

constexpr HostileKind kPuts[] = {
    {"put_empty_stream", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target&) { return PutOf({}); }},
    {"put_part_before_open", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Part(0, frame.size(), frame), Open(t.space.id, 1)});
     }},
    {"put_open_no_blocks", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) { return PutOf({Open(t.space.id, 0)}); }},
    {"put_open_too_many_blocks", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, kPutBlocksMax + 1 + static_cast<uint32_t>(r() % INT32_MAX))});
     }},
    {"put_open_most_blocks_then_end", 1, Code::OK,
     [](Random&, const Target& t) { return PutOf({Open(t.space.id, kPutBlocksMax)}); }},
    {"put_open_twice", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1), Open(t.space.id, 1)});
     }},
    {"put_unknown_space", 8, Code::FAILED_PRECONDITION,
     [](Random& r, const Target& t) { return PutOf({Open(OtherSpace(r, t), 1)}); }},
    {"put_index_beyond_count", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf(
           {Open(t.space.id, 2), Part(2 + static_cast<uint32_t>(r() >> 33), frame.size(), frame)});
     }},
    {"put_index_out_of_order", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       std::string frame = Text(GoodFrame(r, t));
       FlipBits(r, &frame);
       return PutOf(
           {Open(t.space.id, 2), Part(1, frame.size(), frame), Part(0, frame.size(), frame)});
     }},
    {"put_begin_within_block", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 2),
                     Part(0, frame.size(), frame.substr(0, r() % frame.size())),
                     Part(1, frame.size(), frame)});
     }},
    {"put_payload_of_no_block", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, 0, RandomText(r, 300))});
     }},
    {"put_payload_beyond_frame", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 1), Part(0, frame.size() - 1 - r() % 100, frame)});
     }},
    {"put_frame_too_small", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, 1 + r() % 255, "x")});
     }},
    {"put_frame_too_large", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 1), Part(0, kFrameBytesMax + 1 + (r() >> 1), "x")});
     }},
    {"put_bad_retention", 4, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutOf({Open(t.space.id, 1), Part(0, frame.size(), frame, BadRetention(r))});
     }},
    {"put_truncated", 16, Code::OK,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kHalfClose); }},
    {"put_cancelled", 16, Code::CANCELLED,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kCancel); }},
    {"put_silent", 1, Code::DEADLINE_EXCEEDED,
     [](Random& r, const Target& t) { return TruncatedPut(r, t, Request::End::kSilence); }},
    {"frame_bits_flipped", 32, Code::OK,
     [](Random& r, const Target& t) {
       const std::string good = Text(GoodFrame(r, t));
       std::string frame = good;
       while (frame == good) FlipBits(r, &frame);
       return PutFrame(t, frame);
     }},
    {"frame_fields_forged", 32, Code::OK, PutForged},
    {"frame_of_noise", 8, Code::OK,
     [](Random& r, const Target& t) { return PutFrame(t, RandomText(r, 256 + r() % 8192)); }},
    {"frame_cut_and_announced_so", 8, Code::OK,
     [](Random& r, const Target& t) {
       const std::string frame = Text(GoodFrame(r, t));
       return PutFrame(t, frame.substr(0, 256 + r() % (frame.size() - 256)));
     }},
    {"frame_of_other_shape", 8, Code::OK, PutOtherShape},
    {"frame_of_other_space", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random& n, const Target&, FrameIdentity* i) {
         i->space_digest[n() % 32] ^= 1;
       });
     }},
    {"frame_of_other_manifest", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random& n, const Target&, FrameIdentity* i) {
         i->manifest_digest[n() % 32] ^= 1;
       });
     }},
    {"frame_of_unknown_parent", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random&, const Target&, FrameIdentity* i) {
         i->parent_hash.fill(0xEE);
         i->parent_hash_bytes = 32;
       });
     }},
    {"frame_with_other_bytes", 8, Code::OK,
     [](Random& r, const Target& t) {
       return PutAs(r, t, [](Random&, const Target& target, FrameIdentity* i) {
         i->prefix_hash = target.resident.bytes;
         i->prefix_hash_bytes = target.resident.size;
       });
     }},
    {"put_noise", 16, Code::INVALID_ARGUMENT,
     [](Random& r, const Target&) { return PutOf({RandomText(r, 1 + r() % 4096)}); }},
    {"put_noise_after_open",
     16,
     {},
     [](Random& r, const Target& t) {
       return PutOf({Open(t.space.id, 4), RandomText(r, 1 + r() % 4096)});
     }},
    {"put_message_bits_flipped",
     16,
     {},
     [](Random& r, const Target& t) {
       // The frame is broken first: no flip of the fields around it can make it good.
       std::string frame = Text(GoodFrame(r, t));
       frame[frame.size() / 2] ^= 1;
       std::string message = Open(t.space.id, 1) + Part(0, frame.size(), frame);
       const size_t fields = message.size() - frame.size();
       message[r() % fields] ^= static_cast<char>(1u << r() % 8);
       return PutOf({std::move(message)});
     }},
    {"put_part_length_lies", 8, Code::INVALID_ARGUMENT,
     [](Random& r, const Target& t) {
       const std::string length = r() % 2 ? "\xFF\xFF\xFF\xFF\x07" : "\xFF\xFF\xFF\xFF\x0F";
       return PutOf({Open(t.space.id, 1) + "\x12" + length + RandomText(r, 100)});
     }},
    {"put_nested_groups", 4, Code::INVALID_ARGUMENT,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1) + std::string(100'000, '\x1B')});
     }},
    {"put_oversized_message", 1, Code::RESOURCE_EXHAUSTED,
     [](Random&, const Target& t) {
       return PutOf({Open(t.space.id, 1), std::string(5u << 20, 'x')});
     }},
};

}  // namespace

std::span<const HostileKind> HostilePuts() { return kPuts; }

}  // namespace larder::testing
