#include "client/device_rows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"

namespace larder {

absl::Status CheckRows(const DeviceCalls& calls, const KvShape& shape, const BlockRows& rows,
                       const std::string& field) {
  const std::vector<RowCopy> copies = RowCopiesOf(shape, rows, rows);
  if (copies.empty()) {
    return InvalidField(field, "rows of a space that has none",
                        "a space of attention or latents; others take a destination");
  }
  for (const RowCopy& copy : copies) {
    const RunRows& at = copy.from;
    if (!RowCopyHolds(copy)) {
      return InvalidField(field, "addresses, steps or rows that can not be copied",
                          "multiples of 16 bytes, and pages of 1 token or more");
    }
    const auto apart = [&](uint32_t count, int64_t stride) {
      const auto step = static_cast<uint64_t>(stride);
      return count < 2 || (stride < 0 ? 0 - step : step) >= copy.row_bytes;
    };
    const bool paged = at.pages != nullptr;
    const uint64_t reach = uint64_t{at.pages_per_block} * at.page_tokens;
    if (!apart(copy.streams, at.stream_stride) || !apart(copy.heads, at.head_stride) ||
        !apart(paged ? std::min(copy.tokens, at.page_tokens) : copy.tokens, at.token_stride) ||
        !apart(paged ? at.pages_per_block : 1, at.page_stride)) {
      return InvalidField(field, "rows at one place", "steps of a row's bytes or more");
    }
    if (paged && reach < uint64_t{at.first_token} + copy.tokens) {
      return InvalidField(field, absl::StrCat("a page table for ", reach, " tokens"),
                          absl::StrCat("one for ", at.first_token + copy.tokens, " or more"));
    }
    if (!calls.Holds(at.base) || (paged && !calls.Holds(at.pages))) {
      return InvalidField(field, "memory that is not the device's",
                          "rows and page table in memory of ClientOptions::device");
    }
  }
  return absl::OkStatus();
}

}  // namespace larder
