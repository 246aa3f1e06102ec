// Whole payloads coded on a device (frame_plan.h): every step of a BoundFrames on one stream.
//
// Bytes   those of BlockCoder. Encoding writes every byte of the payloads; decoding every row, but those of a stream that it
//         refuses.
// Cost    a launch per kind and run of layers with equal codecs, one more where rows stay as they are, and two of a packed plan;
//         asynchronous on `stream`, no allocation, no synchronisation.
// Status  cudaErrorInvalidValue when a step does not hold or the frames are bound for the other direction, before anything is
//         launched; else the first launch's that failed, after which the payloads mean nothing.
// Thread-safe. Deterministic.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/codec/device/frame_plan.h"

namespace larder {

cudaError_t EncodeFrames(const BoundFrames& frames, cudaStream_t stream);
// Streams of fixed size decode whatever bytes they have; the caller has verified them. Those of a size that varies are checked,
// and refused where the host's decoder would.
cudaError_t DecodeFrames(const BoundFrames& frames, cudaStream_t stream);

}  // namespace larder
