// Which plane a client uses, and its current window. Internal to the client library.
//
// Negotiated at Connect and again whenever the window has died (a restarted server, a bound of the server):
// in the background, while calls go inline, or wait when the user insists on the plane.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "client/client_window.h"
#include "client/window_ranges.h"
#include "larder/v1/cache.pb.h"

namespace larder {

// A window and what of it is in use. Both live as long as anybody uses a part.
struct OpenWindow {
  std::shared_ptr<ClientWindow> window;
  std::shared_ptr<WindowRanges> ranges;
  std::shared_ptr<const void>
      pin;  // of the window for a device, and of the window; null: not pinned

  // What keeps its memory, for a device, too.
  std::shared_ptr<const void> memory() const {
    return pin != nullptr ? pin : std::shared_ptr<const void>(window);
  }
  explicit operator bool() const { return window != nullptr; }
};

// A range that is given back when the last owner lets go.
std::shared_ptr<std::byte> HoldRange(const OpenWindow& open, const WindowSpan& span);

// Thread-safe.
class Plane {
 public:
  static constexpr auto kRetryPause = std::chrono::milliseconds(500);

  explicit Plane(const ClientOptions& options) : options_(options) {}
  ~Plane() { Close(); }

  // Lets go of the window, whose calls end, and wants none any more.
  void Close();
  // Opens a window as the server's offer and the user's choice allow. Blocks a few milliseconds (touching
  // pages: longer). FAILED_PRECONDITION when the user insists on a plane that can not be had.
  absl::Status Negotiate(const v1::CapabilitiesResponse& capabilities);

  // The live window; empty when there is none. A window with too much memory that can not be reused is given
  // up here.
  OpenWindow Current();
  // Whether somebody should ask for Capabilities and Negotiate: at most one caller at a time gets true, and
  // must call it or GiveUp. Not within kRetryPause of a negotiation that brought no window.
  bool WantsNegotiation();
  void GiveUp();
  // Whether calls must not go inline for want of a window.
  bool insists() const {
    return options_.plane != PlaneChoice::kAuto && options_.plane != PlaneChoice::kInline;
  }

  std::shared_ptr<std::byte> Allocate(uint64_t bytes);

  void CountCall(bool over_window) { ++(over_window ? window_calls_ : inline_calls_); }
  PlaneStatus status() const;

 private:
  std::shared_ptr<ClientWindow> OpenShm(const v1::CapabilitiesResponse& capabilities,
                                        std::string& reason) const;
  std::shared_ptr<ClientWindow> OpenUcx(const v1::CapabilitiesResponse& capabilities,
                                        std::string& reason) const;
  void PinForDevice(OpenWindow& open, std::string& reason) const;
  void Set(OpenWindow open, std::string reason);
  void TellChange() const;

  const ClientOptions options_;
  std::atomic<uint64_t> window_calls_{0};
  std::atomic<uint64_t> inline_calls_{0};
  mutable std::mutex mutex_;
  OpenWindow open_;
  PlaneKind kind_ = PlaneKind::kInline;
  std::string reason_ = "not negotiated";
  bool wanted_ = false;  // a window was had, so a dead one is replaced
  bool negotiating_ = false;
  bool closed_ = false;
  std::chrono::steady_clock::time_point retry_at_;
  uint64_t windows_opened_ = 0;
};

}  // namespace larder
