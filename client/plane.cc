#include "client/plane.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/device_memory.h"
#include "client/shm_client_window.h"
#include "client/ucx_client_window.h"
#include "proto/contract/errors.h"

namespace larder {
namespace {

constexpr std::align_val_t kBlockAlignment{64};

bool Offers(const v1::CapabilitiesResponse& capabilities, std::string_view plane) {
  return std::find(capabilities.planes().begin(), capabilities.planes().end(), plane) !=
         capabilities.planes().end();
}

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

std::string_view PlaneName(PlaneKind plane) {
  switch (plane) {
    case PlaneKind::kInline:
      return "inline";
    case PlaneKind::kShm:
      return "shm";
    case PlaneKind::kUcx:
      return "ucx";
  }
  return "unknown";
}

std::shared_ptr<std::byte> HoldRange(const OpenWindow& open, const WindowSpan& span) {
  std::byte* const memory = open.window->memory().data() + span.offset;
  return {memory, [open, span](std::byte*) { open.ranges->Free(span); }};
}

void Plane::Close() {
  OpenWindow open;
  {
    std::lock_guard lock(mutex_);
    wanted_ = false;
    closed_ = true;
    open = std::exchange(open_, {});
  }
  if (open) open.window->Disconnect();
}

// A window of shared memory, or why there is none.
std::shared_ptr<ClientWindow> Plane::OpenShm(const v1::CapabilitiesResponse& capabilities,
                                             std::string& reason) const {
  if (!Offers(capabilities, "shm")) {
    reason = "the server does not offer shared memory";
    return nullptr;
  }
  auto window = ShmClientWindow::Open(capabilities.shm_socket(), options_.client_id,
                                      options_.window.bytes, options_.window.touch);
  reason = window.ok() ? "same host" : absl::StrCat("no shared memory: ", TextOf(window.status()));
  return window.ok() ? *std::move(window) : nullptr;
}

// The same over UCX.
std::shared_ptr<ClientWindow> Plane::OpenUcx(const v1::CapabilitiesResponse& capabilities,
                                             std::string& reason) const {
  if (!Offers(capabilities, "ucx")) {
    reason = "the server does not offer UCX";
    return nullptr;
  }
  auto window = UcxClientWindow::Open(options_, capabilities.ucx_address());
  reason = window.ok() ? "offered" : absl::StrCat("no UCX: ", TextOf(window.status()));
  return window.ok() ? *std::move(window) : nullptr;
}

void Plane::PinForDevice(OpenWindow& open, std::string& reason) const {
  if (options_.device == nullptr) return;
  const auto memory = open.window->memory();
  if (const absl::Status pinned = options_.device->Pin(memory); !pinned.ok()) {
    absl::StrAppend(&reason, "; not pinned, so slower to the device: ", TextOf(pinned));
    return;
  }
  open.pin = {memory.data(), [device = options_.device, window = open.window](const void*) {
                device->Unpin(window->memory());
              }};
}

absl::Status Plane::Negotiate(const v1::CapabilitiesResponse& capabilities) {
  OpenWindow open;
  std::string reason = "asked for";
  switch (options_.plane) {
    case PlaneChoice::kInline:
      break;
    case PlaneChoice::kShm:
      open.window = OpenShm(capabilities, reason);
      break;
    case PlaneChoice::kUcx:
      open.window = OpenUcx(capabilities, reason);
      break;
    case PlaneChoice::kAuto: {
      open.window = OpenShm(capabilities, reason);
      if (open.window != nullptr) break;
      std::string ucx_reason;
      open.window = OpenUcx(capabilities, ucx_reason);
      reason = absl::StrCat(reason, "; ", ucx_reason);
      break;
    }
  }
  if (open) {
    open.ranges = std::make_shared<WindowRanges>(open.window->memory().size());
    PinForDevice(open, reason);
  }
  const bool refused = !open && insists();
  Set(std::move(open), reason);
  return refused ? PlaneUnavailable(reason) : absl::OkStatus();
}

void Plane::Set(OpenWindow open, std::string reason) {
  bool again = false;
  {
    std::lock_guard lock(mutex_);
    negotiating_ = false;
    if (closed_) {
      // Nobody calls any more: the new one ends below.
    } else if (open) {
      again = std::exchange(wanted_, true);
      ++windows_opened_;
      kind_ = open.window->plane();
    } else {
      kind_ = PlaneKind::kInline;
      retry_at_ = std::chrono::steady_clock::now() + kRetryPause;
    }
    reason_ = std::move(reason);
    if (!closed_) std::swap(open_, open);
  }
  if (open) open.window->Disconnect();
  if (again) TellChange();
}

void Plane::TellChange() const {
  if (options_.on_plane_change) options_.on_plane_change(status());
}

OpenWindow Plane::Current() {
  OpenWindow lost;  // let go of after the lock
  {
    std::lock_guard lock(mutex_);
    if (!open_) return {};
    // Ranges whose transfers were never proven ended: a few are waited for, many mean that the server's side is
    // stuck or that answers get lost.
    const bool spoiled = open_.ranges->retired_bytes() > open_.window->memory().size() / 4;
    if (!spoiled && open_.window->alive()) return open_;
    lost = std::exchange(open_, {});
    kind_ = PlaneKind::kInline;
    reason_ = spoiled ? "the window is being replaced" : "the window's connection ended";
  }
  lost.window->Disconnect();
  TellChange();
  return {};
}

bool Plane::WantsNegotiation() {
  std::lock_guard lock(mutex_);
  if (open_ || !wanted_ || negotiating_) return false;
  if (std::chrono::steady_clock::now() < retry_at_) return false;
  negotiating_ = true;
  return true;
}

void Plane::GiveUp() {
  std::lock_guard lock(mutex_);
  negotiating_ = false;
}

std::shared_ptr<std::byte> Plane::Allocate(uint64_t bytes) {
  const OpenWindow open = Current();
  if (open && bytes > 0) {
    if (const auto span = open.ranges->Take(bytes)) return HoldRange(open, *span);
  }
  return {static_cast<std::byte*>(::operator new(bytes, kBlockAlignment)),
          [](std::byte* memory) { ::operator delete(memory, kBlockAlignment); }};
}

PlaneStatus Plane::status() const {
  std::lock_guard lock(mutex_);
  PlaneStatus status;
  status.plane = kind_;
  status.reason = reason_;
  if (open_) {
    status.window_bytes = open_.window->memory().size();
    status.window_used_bytes = open_.ranges->used_bytes();
  }
  status.window_calls = window_calls_;
  status.inline_calls = inline_calls_;
  status.windows_opened = windows_opened_;
  return status;
}

}  // namespace larder
