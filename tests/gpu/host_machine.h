// The kernels' bodies run on the host, thread by thread: what tests without a device use in a device's place.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "kernels/codec/device/quantisers.cuh"
#include "kernels/codec/device/run_setup.h"
#include "kernels/paging/row_copy.cuh"

namespace larder {

class HostMachine {
 public:
  // Memory of the machine, aligned to 16 bytes.
  class Buffer {
   public:
    explicit Buffer(size_t bytes) : words_((bytes + 15) / 16) {}
    uint8_t* get() { return reinterpret_cast<uint8_t*>(words_.data()); }

   private:
    struct alignas(16) Word {
      uint8_t bytes[16];
    };
    std::vector<Word> words_;
  };

  Buffer Put(std::span<const std::byte> bytes) {
    Buffer buffer(bytes.size());
    if (!bytes.empty()) std::memcpy(buffer.get(), bytes.data(), bytes.size());
    return buffer;
  }
  void Get(Buffer& buffer, std::span<std::byte> out) {
    if (!out.empty()) std::memcpy(out.data(), buffer.get(), out.size());
  }
  // False when the run can not be launched.
  bool Encode(const TileRun& run) {
    if (!RunHolds(run, /*encode=*/true)) return false;
    std::memset(run.refused, 0, size_t{run.blocks} * run.streams * sizeof(*run.refused));
    VisitQuantiser(run, Emulation{run, /*encode=*/true});
    return true;
  }
  bool Decode(const TileRun& run) {
    if (!RunHolds(run, /*encode=*/false)) return false;
    if (SizeVaries(run.id)) {
      std::memset(run.refused, 0, size_t{run.blocks} * run.streams * sizeof(*run.refused));
    }
    VisitQuantiser(run, Emulation{run, /*encode=*/false});
    return true;
  }
  bool Copy(const RowCopy& copy) {
    if (!RowCopyHolds(copy)) return false;
    HostCta cta;
    for (uint32_t at = 0; at < copy.blocks * copy.streams; ++at) {
      for (uint32_t unit = 0; unit < CopyUnits(copy); ++unit) {
        CopyRowsOf(cta, copy, unit, at % copy.streams, at / copy.streams);
      }
    }
    return true;
  }

 private:
  struct Emulation {
    const TileRun& run;
    const bool encode;

    template <typename Quantiser>
    void Visit() const {
      // Exactly as much as a launch would give: a sanitizer sees what goes beyond it. A null arena only counts.
      const uint32_t bytes = SharedBytesOf<Quantiser>(run, encode);
      Buffer shared(bytes + 16);
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
};

}  // namespace larder
