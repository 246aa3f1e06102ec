#include "server/transport/window_table.h"

#include <openssl/rand.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/base/check.h"

namespace larder::server {
namespace {

std::string RandomId() {
  std::string id(WindowTable::kIdBytes, '\0');
  LARDER_CHECK(
      RAND_bytes(reinterpret_cast<unsigned char*>(id.data()), static_cast<int>(id.size())) == 1);
  return id;
}

}  // namespace

// What a window holds of the bounds.
struct WindowTable::Held {
  Held(WindowTable& table_in, std::string owner_in, ByteBudget::Grant bytes_in)
      : table(table_in), owner(std::move(owner_in)), bytes(std::move(bytes_in)) {}
  ~Held() { table.GiveBack(owner); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  WindowTable& table;
  const std::string owner;
  const ByteBudget::Grant bytes;
};

// A window with what ends when it does. Owned by the window's shared pointer.
struct WindowTable::Owned {
  std::shared_ptr<Window> window;
  std::shared_ptr<void> held;
  std::function<void()> gone;  // set before the table's own share is let go
};

WindowTable::WindowTable(const Options& options)
    : options_(options), bytes_(options.windows_bytes_max) {}

absl::StatusOr<WindowTable::Permit> WindowTable::Admit(std::string_view owner, uint64_t bytes) {
  if (bytes == 0 || bytes > options_.window_bytes_max) {
    return InvalidField("window_bytes", absl::StrCat(bytes),
                        absl::StrCat("1 to ", options_.window_bytes_max));
  }
  auto grant = bytes_.Take(bytes);
  if (!grant) return OverLimit("bytes of windows", bytes_.used(), options_.windows_bytes_max);
  {
    MutexLock lock(mutex_);
    if (held_ >= options_.windows_max) {
      return OverLimit("windows of the server", held_, options_.windows_max);
    }
    uint32_t& of_owner = held_by_owner_[std::string(owner)];
    if (of_owner >= options_.windows_per_client_max) {
      return OverLimit("windows of this client", of_owner, options_.windows_per_client_max);
    }
    ++of_owner;
    ++held_;
  }
  return Permit(std::string(owner),
                std::make_shared<Held>(*this, std::string(owner), *std::move(grant)));
}

void WindowTable::GiveBack(const std::string& owner) {
  MutexLock lock(mutex_);
  --held_;
  const auto found = held_by_owner_.find(owner);
  if (--found->second == 0) held_by_owner_.erase(found);
}

std::string WindowTable::Add(Permit permit, std::shared_ptr<Window> window) {
  Window* const memory = window.get();
  auto owned = std::make_unique<Owned>();
  owned->held = std::move(permit.held_);
  owned->window = std::move(window);
  Owned* const whose = owned.get();
  // Whoever lets go last ends the memory first, then what it held of the bounds, then tells.
  std::shared_ptr<Window> shared(memory, [owned = std::move(owned)](Window*) {
    owned->window.reset();
    owned->held.reset();
    if (owned->gone) owned->gone();
  });
  std::string id = RandomId();
  MutexLock lock(mutex_);
  const bool added =
      windows_.insert({id, {std::move(permit.owner_), std::move(shared), whose}}).second;
  LARDER_CHECK(added);
  return id;
}

absl::StatusOr<std::shared_ptr<Window>> WindowTable::Find(std::string_view id,
                                                          std::string_view owner) {
  MutexLock lock(mutex_);
  const auto found = windows_.find(std::string(id));
  if (found == windows_.end() || found->second.owner != owner) return WindowGone();
  return found->second.window;
}

std::shared_ptr<Window> WindowTable::TakeLocked(std::string_view id, const std::string_view* owner,
                                                std::function<void()> gone) {
  const auto found = windows_.find(std::string(id));
  if (found == windows_.end() || (owner != nullptr && found->second.owner != *owner)) {
    return nullptr;
  }
  found->second.owned->gone = std::move(gone);
  std::shared_ptr<Window> window = std::move(found->second.window);
  windows_.erase(found);
  return window;
}

bool WindowTable::Close(std::string_view id, std::string_view owner, std::function<void()> gone) {
  std::shared_ptr<Window> window;
  {
    MutexLock lock(mutex_);
    window = TakeLocked(id, &owner, std::move(gone));
  }
  if (window != nullptr) window->Close();
  return window != nullptr;
}

void WindowTable::Drop(std::string_view id) {
  std::shared_ptr<Window> window;
  {
    MutexLock lock(mutex_);
    window = TakeLocked(id, nullptr, nullptr);
  }
  if (window != nullptr) window->Close();
}

void WindowTable::CloseAll() {
  std::vector<std::shared_ptr<Window>> windows;
  {
    MutexLock lock(mutex_);
    for (auto& [id, entry] : windows_) windows.push_back(std::move(entry.window));
    windows_.clear();
  }
  for (const auto& window : windows) window->Close();
}

WindowTable::Stats WindowTable::stats() const {
  MutexLock lock(mutex_);
  return {windows_.size(), bytes_.used(), bytes_.bytes_max()};
}

}  // namespace larder::server
