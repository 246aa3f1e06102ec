#include "kernels/paging/row_copy.h"

#include <limits>

namespace larder {

bool RowsHold(const RunRows& rows) {
  const auto base = reinterpret_cast<uintptr_t>(rows.base);
  return rows.base != nullptr && rows.page_tokens > 0 && base % 16 == 0 &&
         rows.block_stride % 16 == 0 && rows.stream_stride % 16 == 0 &&
         rows.head_stride % 16 == 0 && rows.token_stride % 16 == 0 && rows.page_stride % 16 == 0;
}

bool RowCopyHolds(const RowCopy& copy) {
  if (copy.blocks == 0 || copy.streams == 0 || copy.heads == 0 || copy.tokens == 0) return false;
  if (copy.row_bytes == 0 || copy.row_bytes % 16 != 0) return false;
  // The words of a stream are counted in 32 bits.
  const uint64_t rows = uint64_t{copy.heads} * copy.tokens;
  if (rows > std::numeric_limits<uint32_t>::max() / (copy.row_bytes / 16)) return false;
  return RowsHold(copy.from) && RowsHold(copy.to);
}

}  // namespace larder
