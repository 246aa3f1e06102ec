// Bodies of the kernels that lay out payloads and move streams into and out of them (frame_pack.h). Words of 16 bytes.
#pragma once

#include "kernels/codec/device/frame_pack.h"
#include "kernels/codec/device/tile_rows.cuh"

namespace larder {

// One stream of one block, as a CTA sees it.
struct PackedStreamView {
  LARDER_HOST_DEVICE PackedStreamView(const FramePack& of, uint32_t block_of, uint32_t stream_of)
      : pack(of),
        plan(of.plan[stream_of]),
        placed(of.placed[uint64_t{block_of} * of.streams + stream_of]),
        block(block_of) {}

  LARDER_HOST_DEVICE static uint64_t Aligned(uint64_t bytes, uint64_t to) {
    return (bytes + to - 1) / to * to;
  }
  // Among the arrays by tile.
  LARDER_HOST_DEVICE uint64_t TileIndex(uint32_t head) const {
    return uint64_t{plan.tiles_at} * pack.blocks +
           (uint64_t{block} * plan.part_layers + plan.part_layer) * pack.heads + head;
  }
  LARDER_HOST_DEVICE uint32_t* flag() const {
    return pack.refused + uint64_t{plan.flags_at} * pack.blocks +
           uint64_t{block} * plan.part_layers + plan.part_layer;
  }
  LARDER_HOST_DEVICE const uint8_t* Draft(uint32_t head) const {
    const uint64_t slot =
        (uint64_t{block} * plan.part_layers + plan.part_layer) * pack.heads + head;
    return pack.drafts + plan.drafts_at * pack.blocks + slot * plan.slot_bytes;
  }
  LARDER_HOST_DEVICE bool varies() const { return plan.table_bytes > 0; }
  LARDER_HOST_DEVICE uint64_t sink_bytes() const { return uint64_t{plan.sinks} * plan.row_bytes; }
  // Before the first tile.
  LARDER_HOST_DEVICE uint64_t head_bytes() const {
    return plan.table_bytes + pack.heads * sink_bytes();
  }
  LARDER_HOST_DEVICE uint64_t raw_bytes() const {
    return uint64_t{plan.row_bytes} * pack.tokens * pack.heads;
  }
  LARDER_HOST_DEVICE uint32_t TileBytes(uint32_t head) const {
    return varies() ? pack.sizes[TileIndex(head)] : plan.tile_bytes;
  }
  LARDER_HOST_DEVICE uint8_t* payload() const {
    return pack.payloads + block * pack.payload_stride;
  }
  LARDER_HOST_DEVICE uint8_t* stream() const { return payload() + placed.offset; }
  LARDER_HOST_DEVICE uint8_t* Row(uint32_t head, uint32_t token) const {
    const RunRows& rows = pack.rows[plan.kind];
    return rows.Row(rows.Tile(block, plan.layer, head), block, token);
  }

  const FramePack& pack;
  const PackStream& plan;
  PlacedStream& placed;
  const uint32_t block;
};

// Rows [0, count) of a head between where they stand and `packed`, which has `stride` bytes from row to row.
template <typename Cta>
LARDER_HOST_DEVICE void MoveRows(Cta& cta, const PackedStreamView& view, uint32_t head,
                                 uint32_t count, uint8_t* packed, int64_t stride, bool pack) {
  const uint32_t row_words = view.plan.row_bytes / 16;
  cta.Each([&](unsigned thread) {
    for (uint32_t item = thread; item < count * row_words; item += kCtaThreads) {
      const uint32_t token = item / row_words, offset = item % row_words * 16;
      uint8_t* row = view.Row(head, token) + offset;
      uint8_t* at = packed + token * stride + offset;
      if (pack) {
        StoreWord(LoadWord<Words4>(row), at);
      } else {
        StoreWord(LoadWord<Words4>(at), row);
      }
    }
  });
}

// Where the streams of a block stand, from the sizes of its tiles.
template <typename Cta>
LARDER_HOST_DEVICE void LayOutFrame(Cta& cta, const FramePack& pack, uint32_t block) {
  constexpr uint64_t kFrameUnit = 64;  // kFrameAlignment
  cta.Each([&](unsigned thread) {
    for (uint32_t stream = thread; stream < pack.streams; stream += kCtaThreads) {
      const PackedStreamView view(pack, block, stream);
      const bool raw = view.plan.coded == 0 || *view.flag() != 0;
      uint64_t bytes = raw ? view.raw_bytes() : view.head_bytes();
      for (uint32_t head = 0; head < pack.heads && !raw; ++head) {
        bytes += PackedStreamView::Aligned(view.TileBytes(head), 16);
      }
      view.placed = {0, bytes, raw ? 1u : 0u, 0};
    }
  });
  cta.Sync();
  cta.Each([&](unsigned thread) {
    if (thread != 0) return;
    uint64_t at = 0;
    for (uint32_t stream = 0; stream < pack.streams; ++stream) {
      PlacedStream& placed = pack.placed[uint64_t{block} * pack.streams + stream];
      placed.offset = at;
      at += PackedStreamView::Aligned(placed.bytes, kFrameUnit);
    }
  });
  cta.Sync();
  cta.Each([&](unsigned thread) {
    for (uint32_t stream = thread; stream < pack.streams; stream += kCtaThreads) {
      const PackedStreamView view(pack, block, stream);
      uint64_t at = view.placed.offset + view.head_bytes();
      for (uint32_t head = 0; head < pack.heads && view.placed.raw == 0; ++head) {
        pack.places[view.TileIndex(head)] = at;
        at += PackedStreamView::Aligned(view.TileBytes(head), 16);
      }
    }
  });
}

// What belongs to one head of a stream, to the payload; with the first head the table, with the last the padding.
template <typename Cta>
LARDER_HOST_DEVICE void PackTile(Cta& cta, const FramePack& pack, uint32_t stream, uint32_t head,
                                 uint32_t block) {
  const PackedStreamView view(pack, block, stream);
  uint8_t* out = view.stream();
  if (head == pack.heads - 1) {
    cta.Each([&](unsigned thread) {
      const uint64_t end = PackedStreamView::Aligned(view.placed.bytes, 64);
      for (uint64_t at = view.placed.bytes + thread * 16; at < end; at += kCtaThreads * 16) {
        StoreWord(Words4{}, out + at);
      }
    });
  }
  if (view.placed.raw != 0) {
    MoveRows(cta, view, head, pack.tokens, out + head * view.plan.raw_head_stride,
             view.plan.raw_token_stride, /*pack=*/true);
    return;
  }
  MoveRows(cta, view, head, view.plan.sinks, out + view.plan.table_bytes + head * view.sink_bytes(),
           view.plan.row_bytes, /*pack=*/true);
  const uint8_t* draft = view.Draft(head);
  uint8_t* tile = view.payload() + pack.places[view.TileIndex(head)];
  const uint32_t bytes = view.TileBytes(head);
  cta.Each([&](unsigned thread) {
    for (uint32_t at = thread * 16; at < bytes; at += kCtaThreads * 16) {
      StoreWord(LoadWord<Words4>(draft + at), tile + at);
    }
    if (head != 0) return;
    for (uint32_t i = thread; i < view.plan.table_bytes / 4; i += kCtaThreads) {
      StoreWord(i < pack.heads ? view.TileBytes(i) : 0u, out + i * 4);
    }
  });
}

// Where the tiles of a stream stand, as the stream itself says; false when it can not be so.
LARDER_HOST_DEVICE inline bool FindTiles(const PackedStreamView& view) {
  const FramePack& pack = view.pack;
  uint64_t at = view.head_bytes();
  if (at > view.placed.bytes) return false;
  for (uint32_t head = 0; head < pack.heads; ++head) {
    uint32_t size = view.plan.tile_bytes;
    if (view.varies()) {
      size = LoadWord<uint32_t>(view.stream() + head * 4);
      if (size > view.plan.tile_bytes) return false;
      pack.sizes[view.TileIndex(head)] = size;
    }
    const uint64_t taken = PackedStreamView::Aligned(size, 16);
    if (taken > view.placed.bytes - at) return false;
    pack.places[view.TileIndex(head)] = view.placed.offset + at;
    at += taken;
  }
  return at == view.placed.bytes;
}

// Sizes and places for the decoders of tiles. Those of a stream that is raw, or not what an encoder writes, are kNoTile; a stream
// of the second kind is refused: here when its size is fixed, by the decoders, which meet a size that can not be, when not.
template <typename Cta>
LARDER_HOST_DEVICE void OpenFrame(Cta& cta, const FramePack& pack, uint32_t block) {
  cta.Each([&](unsigned thread) {
    for (uint32_t stream = thread; stream < pack.streams; stream += kCtaThreads) {
      const PackedStreamView view(pack, block, stream);
      if (view.plan.coded == 0) continue;
      const bool raw = view.placed.raw != 0;
      const bool holds = raw ? view.placed.bytes == view.raw_bytes() : FindTiles(view);
      *view.flag() = holds ? 0 : 1;
      if (holds && !raw) continue;
      for (uint32_t head = 0; head < pack.heads; ++head) {
        pack.places[view.TileIndex(head)] = kNoTile;
        if (view.varies()) pack.sizes[view.TileIndex(head)] = holds ? 0 : kNoTileBytes;
      }
    }
  });
}

// The rows of one head that no codec has touched, from the payload to where they belong.
template <typename Cta>
LARDER_HOST_DEVICE void UnpackRows(Cta& cta, const FramePack& pack, uint32_t stream, uint32_t head,
                                   uint32_t block) {
  const PackedStreamView view(pack, block, stream);
  uint8_t* in = view.stream();
  if (view.placed.raw != 0) {
    if (view.placed.bytes != view.raw_bytes()) return;
    MoveRows(cta, view, head, pack.tokens, in + head * view.plan.raw_head_stride,
             view.plan.raw_token_stride, /*pack=*/false);
  } else if (view.plan.sinks > 0 && view.head_bytes() <= view.placed.bytes) {
    MoveRows(cta, view, head, view.plan.sinks,
             in + view.plan.table_bytes + head * view.sink_bytes(), view.plan.row_bytes,
             /*pack=*/false);
  }
}

}  // namespace larder
