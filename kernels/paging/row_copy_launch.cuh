// Launcher of the copy of rows between layouts (row_copy.h).
//
// Cost    one launch, asynchronous on `stream`; no allocation, no synchronisation. Reads and writes each row once.
// Status  cudaErrorInvalidValue for a copy that RowCopyHolds refuses or more than 65,535 streams of all blocks.
// Thread-safe. Deterministic. Oracle: RowCopyTest's loop over rows.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/paging/row_copy.h"

namespace larder {

cudaError_t CopyRows(const RowCopy& copy, cudaStream_t stream);

}  // namespace larder
