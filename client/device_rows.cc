#include "client/device_rows.h"

#include "proto/contract/errors.h"

namespace larder {

absl::Status CheckRows(const DeviceCalls& calls, const Space& space, const BlockRows& rows,
                       const std::string& field) {
  const std::vector<RowCopy> copies = RowCopiesOf(space.shape, rows, rows);
  if (copies.empty()) {
    return InvalidField(field, "rows of a space that has none",
                        "a space of attention or latents; others take a destination");
  }
  for (const RowCopy& copy : copies) {
    if (!RowCopyHolds(copy)) {
      return InvalidField(field, "addresses, steps or rows that can not be copied",
                          "multiples of 16 bytes, and pages of 1 token or more");
    }
    const bool ours =
        calls.Holds(copy.from.base) && (copy.from.pages == nullptr || calls.Holds(copy.from.pages));
    if (!ours) {
      return InvalidField(field, "memory that is not the device's",
                          "rows and page table in memory of ClientOptions::device");
    }
  }
  return absl::OkStatus();
}

}  // namespace larder
