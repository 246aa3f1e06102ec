#include "client/device_calls.h"

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "proto/contract/errors.h"

namespace larder {
namespace {

using Steady = std::chrono::steady_clock;

// A copy of some MiB takes less than the first; longer ones need no such eye.
constexpr auto kWatched = std::chrono::microseconds(200);
constexpr auto kPollInterval = std::chrono::microseconds(50);

thread_local bool runs_a_call = false;

}  // namespace

DeviceCalls::~DeviceCalls() {
  if (late_.empty()) return;
  static auto* const kept_mutex = new std::mutex;
  static auto* const kept = new std::vector<Late>;
  std::lock_guard lock(*kept_mutex);
  std::move(late_.begin(), late_.end(), std::back_inserter(*kept));
}

absl::StatusOr<std::shared_ptr<DeviceWork>> DeviceCalls::Begin() {
  std::vector<Late> ended;  // destroyed after the lock
  {
    std::lock_guard lock(mutex_);
    const auto over = std::stable_partition(late_.begin(), late_.end(), [](const Late& late) {
      return late.work->Poll() == DeviceWork::State::kRuns;
    });
    std::move(over, late_.end(), std::back_inserter(ended));
    late_.erase(over, late_.end());
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
  late_.push_back({work, std::move(owners)});
  return DeviceFailed(device_->name(), "did not end within the deadline");
}

void DeviceCalls::Run(std::function<void()> call) {
  {
    std::lock_guard lock(running_->mutex);
    ++running_->calls;
  }
  std::thread([running = running_, call = std::move(call)]() mutable {
    runs_a_call = true;
    std::exchange(call, nullptr)();  // and lets go of what it holds
    std::lock_guard lock(running->mutex);
    --running->calls;
    running->changed.notify_all();
  }).detach();
}

void DeviceCalls::Close() {
  BeginClose();
  const size_t own = runs_a_call ? 1 : 0;
  std::unique_lock lock(running_->mutex);
  running_->changed.wait(lock, [&] { return running_->calls <= own; });
}

}  // namespace larder
