#include "tests/gpu/host_machine.h"

#include "kernels/codec/device/frame_pack.cuh"
#include "kernels/codec/device/quantisers.cuh"
#include "kernels/codec/device/run_setup.h"
#include "kernels/paging/row_copy.cuh"

namespace larder {
namespace {

struct Emulation {
  const TileRun& run;
  const bool encode;

  template <typename Quantiser>
  void Visit() const {
    // Exactly as much as a launch would give: a sanitizer sees what goes beyond it. A null arena only counts.
    const uint32_t bytes = SharedBytesOf<Quantiser>(run, encode);
    HostMachine::Buffer shared(bytes + 16);
    for (uint32_t block = 0; block < run.blocks; ++block) {
      for (uint32_t unit = 0; unit < UnitsOf<Quantiser>(run, encode); ++unit) {
        std::memset(shared.get(), 0xA5, bytes);
        HostCta cta;
        if (encode) {
          EncodeTile<Quantiser>(cta, run, unit, block, shared.get());
        } else {
          DecodeTile<Quantiser>(cta, run, unit, block, shared.get());
        }
      }
    }
  }
};

void ClearRefused(const TileRun& run) {
  std::memset(run.refused, 0, size_t{run.blocks} * run.streams * sizeof(*run.refused));
}

void Clear(const FrameClear& clear, uint32_t blocks) {
  for (uint32_t at = 0; at < blocks * clear.streams; ++at) {
    std::memset(clear.base + at / clear.streams * clear.block_stride +
                    at % clear.streams * clear.stream_stride,
                0, clear.bytes);
  }
}

// Calls body(stream, head, block) for every tile.
template <typename Body>
void ForTiles(const FramePack& pack, Body body) {
  for (uint32_t block = 0; block < pack.blocks; ++block) {
    for (uint32_t at = 0; at < pack.streams * pack.heads; ++at) {
      body(at / pack.heads, at % pack.heads, block);
    }
  }
}

}  // namespace

bool HostMachine::Encode(const TileRun& run) {
  if (!RunHolds(run, /*encode=*/true)) return false;
  ClearRefused(run);
  VisitQuantiser(run, Emulation{run, /*encode=*/true});
  return true;
}

bool HostMachine::Decode(const TileRun& run) {
  if (!RunHolds(run, /*encode=*/false)) return false;
  if (SizeVaries(run.id)) ClearRefused(run);
  VisitQuantiser(run, Emulation{run, /*encode=*/false});
  return true;
}

bool HostMachine::Copy(const RowCopy& copy) {
  if (!RowCopyHolds(copy)) return false;
  HostCta cta;
  for (uint32_t at = 0; at < copy.blocks * copy.streams; ++at) {
    for (uint32_t unit = 0; unit < CopyUnits(copy); ++unit) {
      CopyRowsOf(cta, copy, unit, at % copy.streams, at / copy.streams);
    }
  }
  return true;
}

bool HostMachine::EncodeFrames(const BoundFrames& frames) {
  if (!FramesHold(frames, /*encode=*/true)) return false;
  bool launched = true;
  for (const TileRun& run : frames.runs) launched = launched && Encode(run);
  for (const RowCopy& copy : frames.copies) launched = launched && Copy(copy);
  for (const FrameClear& clear : frames.clears) Clear(clear, frames.blocks);
  if (!frames.pack) return launched;
  const FramePack& pack = *frames.pack;
  HostCta cta;
  for (uint32_t block = 0; block < pack.blocks; ++block) LayOutFrame(cta, pack, block);
  ForTiles(pack, [&](uint32_t stream, uint32_t head, uint32_t block) {
    PackTile(cta, pack, stream, head, block);
  });
  return launched;
}

bool HostMachine::DecodeFrames(const BoundFrames& frames) {
  if (!FramesHold(frames, /*encode=*/false)) return false;
  if (frames.pack) {
    const FramePack& pack = *frames.pack;
    HostCta cta;
    for (uint32_t block = 0; block < pack.blocks; ++block) OpenFrame(cta, pack, block);
    ForTiles(pack, [&](uint32_t stream, uint32_t head, uint32_t block) {
      UnpackRows(cta, pack, stream, head, block);
    });
  }
  bool launched = true;
  for (const TileRun& run : frames.runs) launched = launched && Decode(run);
  for (const RowCopy& copy : frames.copies) launched = launched && Copy(copy);
  return launched;
}

}  // namespace larder
