#include "client/device_calls.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "proto/contract/errors.h"

namespace larder {
namespace {

// A copy of some MiB takes less than the first; longer ones need no such eye.
constexpr auto kWatched = std::chrono::microseconds(200);
constexpr auto kPollInterval = std::chrono::microseconds(50);

}  // namespace

absl::StatusOr<std::shared_ptr<DeviceWork>> DeviceCalls::Begin() {
  {
    std::lock_guard lock(mutex_);
    std::erase_if(late_,
                  [](const Late& late) { return late.work->Poll() != DeviceWork::State::kRuns; });
    if (late_.size() >= kLateMax) {
      return DeviceFailed(device_->name(), "does not end what it was given");
    }
  }
  std::shared_ptr<DeviceWork> work = device_->Begin();
  if (work == nullptr) return DeviceFailed(device_->name(), "takes no work");
  return work;
}

absl::Status DeviceCalls::Await(const std::shared_ptr<DeviceWork>& work, SystemTime deadline,
                                Owners owners) {
  using Steady = std::chrono::steady_clock;
  const auto left = deadline - std::chrono::system_clock::now();
  const auto begin = Steady::now();
  const auto give_up = begin + std::max<SystemTime::duration>(left, {}) + kGrace;
  DeviceWork::State state;
  while ((state = work->Poll()) == DeviceWork::State::kRuns) {
    const auto now = Steady::now();
    if (now >= give_up) break;
    if (now - begin < kWatched) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPollInterval);
    }
  }
  if (state == DeviceWork::State::kDone) return absl::OkStatus();
  if (state == DeviceWork::State::kFailed) return DeviceFailed(device_->name(), "failed");
  std::lock_guard lock(mutex_);
  late_.push_back({work, std::move(owners)});
  return DeviceFailed(device_->name(), "did not end within the deadline");
}

}  // namespace larder
