// Ranges that a call names in a window, checked: the one place where a client's offsets meet a window's
// size.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "larder/v1/window.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/shm_window.h"
#include "server/transport/window.h"

namespace larder::server {

// INVALID_ARGUMENT unless the range lies inside the window and begins at a multiple of 64.
inline absl::Status CheckRange(const v1::WindowRange& range, const Window& window,
                               std::string_view field) {
  if (range.offset() % ProgressSlot::kUnitBytes == 0 &&
      InWindow(range.offset(), range.bytes(), window.bytes())) {
    return absl::OkStatus();
  }
  return InvalidField(field, absl::StrCat(range.bytes(), " bytes at ", range.offset()),
                      absl::StrCat("a range at a multiple of ", ProgressSlot::kUnitBytes,
                                   " inside the window's ", window.bytes(), " bytes"));
}

}  // namespace larder::server
