#include "client/plane.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/shm_client_window.h"
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

Plane::~Plane() {
  if (open_) open_.window->Disconnect();
}

absl::Status Plane::Negotiate(const v1::CapabilitiesResponse& capabilities) {
  OpenWindow open;
  std::string reason;
  const bool any = options_.plane == PlaneChoice::kAuto;
  if (options_.plane == PlaneChoice::kInline) {
    reason = "asked for";
  } else if (any || options_.plane == PlaneChoice::kShm) {
    if (!Offers(capabilities, "shm")) {
      reason = "the server does not offer shared memory";
    } else {
      auto window = ShmClientWindow::Open(capabilities.shm_socket(), options_.client_id,
                                          options_.window.bytes, options_.window.touch);
      if (window.ok()) {
        open.window = *std::move(window);
        reason = "same host";
      } else {
        reason = absl::StrCat("no shared memory: ", TextOf(window.status()));
      }
    }
  } else {
    reason = "this client has no UCX";
  }
  if (open) open.ranges = std::make_shared<WindowRanges>(open.window->memory().size());
  const bool refused = !open && insists();
  Set(std::move(open), reason);
  return refused ? PlaneUnavailable(reason) : absl::OkStatus();
}

void Plane::Set(OpenWindow open, std::string reason) {
  std::lock_guard lock(mutex_);
  negotiating_ = false;
  if (open) {
    wanted_ = true;
    ++windows_opened_;
    kind_ = open.window->plane();
  } else {
    kind_ = PlaneKind::kInline;
  }
  reason_ = std::move(reason);
  std::swap(open_, open);
  if (open) open.window->Disconnect();
}

OpenWindow Plane::Current() {
  std::lock_guard lock(mutex_);
  if (!open_) return {};
  // Ranges whose transfers were never proven ended: a few are waited for, many mean that the server's side is
  // stuck or that answers get lost.
  const bool spoiled = open_.ranges->retired_bytes() > open_.window->memory().size() / 4;
  if (!spoiled && open_.window->alive()) return open_;
  open_.window->Disconnect();
  open_ = {};
  kind_ = PlaneKind::kInline;
  reason_ = spoiled ? "the window is being replaced" : "the window's connection ended";
  return {};
}

bool Plane::WantsNegotiation() {
  std::lock_guard lock(mutex_);
  if (open_ || !wanted_ || negotiating_) return false;
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
