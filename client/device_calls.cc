#include "client/device_calls.h"

#include <algorithm>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "proto/contract/errors.h"

namespace larder {
namespace {

using Steady = std::chrono::steady_clock;

// A copy of some MiB takes less than the first; longer ones need no such eye.
constexpr auto kWatched = std::chrono::microseconds(200);
constexpr auto kPollInterval = std::chrono::microseconds(50);

// Of the DeviceCalls whose call runs on this thread.
thread_local const void* runs_call_of = nullptr;

}  // namespace

DeviceCalls::Kept& DeviceCalls::KeptLate() {
  static auto* const kept = new Kept;
  return *kept;
}

std::vector<DeviceCalls::Late> DeviceCalls::Ended(std::vector<Late>& late) {
  const auto over = std::stable_partition(late.begin(), late.end(), [](const Late& each) {
    return each.work->Poll() == DeviceWork::State::kRuns;
  });
  std::vector<Late> ended(std::make_move_iterator(over), std::make_move_iterator(late.end()));
  late.erase(over, late.end());
  return ended;
}

DeviceCalls::~DeviceCalls() {
  std::vector<Late> ended = Ended(late_);
  if (late_.empty()) return;
  Kept& kept = KeptLate();
  std::lock_guard lock(kept.mutex);
  std::move(late_.begin(), late_.end(), std::back_inserter(kept.late));
}

absl::StatusOr<std::shared_ptr<DeviceWork>> DeviceCalls::Begin() {
  std::vector<Late> ended, ended_before;
  size_t late = 0;
  {
    Kept& kept = KeptLate();
    std::lock_guard lock(kept.mutex);
    ended_before = Ended(kept.late);
    late = std::ranges::count(kept.late, device_, &Late::device);
  }
  {
    std::lock_guard lock(mutex_);
    ended = Ended(late_);
    late += late_.size();
  }
  if (late >= kLateMax) return DeviceFailed(device_->name(), "does not end what it was given");
  std::shared_ptr<DeviceWork> work = device_->Begin();
  if (work == nullptr) return DeviceFailed(device_->name(), "takes no work");
  return work;
}

absl::Status DeviceCalls::Await(const std::shared_ptr<DeviceWork>& work, SystemTime deadline,
                                Owners owners) {
  const auto begin = Steady::now();
  auto give_up = std::max(SteadyOf(deadline), begin) + kGrace;
  bool closing = false;
  DeviceWork::State state;
  while ((state = work->Poll()) == DeviceWork::State::kRuns) {
    const auto now = Steady::now();
    if (!closing && closed_.load(std::memory_order_relaxed)) {
      closing = true;
      give_up = std::min(give_up, now + kGrace);
    }
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
  late_.push_back({device_, work, std::move(owners)});
  return DeviceFailed(device_->name(), "did not end within the deadline");
}

absl::Status DeviceCalls::Run(std::function<void()> call) {
  std::unique_lock lock(running_->mutex);
  if (running_->calls >= kRunsMax)
    return OverLimit("calls of the device", running_->calls, kRunsMax);
  try {
    std::thread([running = running_, call = std::move(call)]() mutable {
      runs_call_of = running.get();
      std::exchange(call, nullptr)();  // and lets go of what it holds
      std::lock_guard ending(running->mutex);
      --running->calls;
      running->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return OverLimit("threads of the process", running_->calls, running_->calls);
  }
  ++running_->calls;
  return absl::OkStatus();
}

void DeviceCalls::Close() {
  BeginClose();
  const size_t own = runs_call_of == running_.get() ? 1 : 0;
  std::unique_lock lock(running_->mutex);
  running_->changed.wait(lock, [&] { return running_->calls <= own; });
}

}  // namespace larder
