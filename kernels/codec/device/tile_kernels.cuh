// Launchers of the tile kernels: raw rows in device memory to encoded tiles in device memory, and back.
//
// Shape   as TileRun says: rows [token][head_dim] of each head, bf16 or fp16, 16-byte aligned; tiles of RunSetup::tile_bytes.
// Bytes   those of the host's codecs, bit for bit (kernels/codec/FORMAT.md); the scalar form is the oracle.
// Cost    one or two launches; asynchronous on `stream`; no allocation, no synchronisation, no host memory read later. Moves
//         each row once and each tile once between device memory and the chip, where an encoder that needs a whole tile's
//         range reads its rows twice, the second time from the L2 cache.
// Status  cudaErrorInvalidValue for a run that RunHolds refuses or too many tiles for a grid; else the launch's. What a kernel
//         does to the stream afterwards is the stream's next error, as ever.
// Thread-safe. Deterministic: CTAs share nothing but run.refused, which all of them set to the same value.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/codec/device/tile_run.h"

namespace larder {

// Clears run.refused, then encodes. A stream whose flag is set afterwards can not be coded and is stored raw.
cudaError_t EncodeTiles(const TileRun& run, cudaStream_t stream);

// Any bytes of fixed-size tiles decode to some values; the caller has verified them. Tiles whose size varies are checked: clears
// run.refused and sets it where one is not what an encoder writes, as the host's decoder would say.
cudaError_t DecodeTiles(const TileRun& run, cudaStream_t stream);

}  // namespace larder
