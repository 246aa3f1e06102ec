#include "server/ssd/device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <stop_token>
#include <utility>

#include "server/base/fault_point.h"
#include "server/base/log.h"
#include "server/base/planted_bug.h"

namespace larder::server {
namespace {

struct alignas(kIoAlignment) Page {
  std::array<std::byte, kIoAlignment> bytes{};
};

}  // namespace

// Write, sync, read back. Shared with the callbacks, since it may be left to itself.
struct Device::Probe {
  Page written;
  Page read;
  std::promise<bool> works;
};

absl::StatusOr<std::unique_ptr<Device>> Device::Open(std::unique_ptr<SsdDirectory> directory,
                                                     Options options, const Clock& clock) {
  auto file = directory->OpenSegments(/*make=*/true);
  if (!file.ok()) return file.status();
  std::unique_ptr<Device> device(new Device(std::move(directory), std::move(options), clock));
  {
    MutexLock lock(device->mutex_);
    device->queue_ = device->MakeQueue(*std::move(file));
  }
  device->prober_ = std::jthread(
      [device = device.get()](const std::stop_token& stopped) { device->Prober(stopped); });
  return device;
}

Device::Device(std::unique_ptr<SsdDirectory> directory, Options options, const Clock& clock)
    : directory_(std::move(directory)), options_(std::move(options)), clock_(clock) {}

Device::~Device() {
  prober_.request_stop();
  changed_.NotifyAll();
  if (prober_.joinable()) prober_.join();
  std::vector<std::shared_ptr<OpenQueue>> queues;
  {
    MutexLock lock(mutex_);
    queues = std::move(retired_);
    queues.push_back(std::move(queue_));
  }
  queues.clear();  // waits for what is in flight; its callbacks still find this object whole
}

std::shared_ptr<Device::OpenQueue> Device::MakeQueue(OpenFile file) const {
  auto made = std::make_shared<OpenQueue>();
  IoQueueOptions options = options_.queue;
  options.file = file.get();
  made->file = std::move(file);
  made->queue = options_.make_queue ? options_.make_queue(options) : OpenIoQueue(options);
  return made;
}

std::shared_ptr<Device::OpenQueue> Device::CurrentQueue() const {
  MutexLock lock(mutex_);
  return queue_;
}

void Device::Read(uint32_t segment, uint64_t offset, std::span<std::byte> into, IoDone done) {
  IoDone tracked = Track(Kind::kRead, into, std::move(done));
  CurrentQueue()->queue->Read(PositionOf(segment, offset), into, std::move(tracked));
}
void Device::Write(uint32_t segment, uint64_t offset, std::span<const std::byte> from,
                   IoDone done) {
  IoDone tracked = Track(Kind::kChange, {}, std::move(done));
  if (PlantedBug("ssd.name_before_data")) return tracked(0);
  CurrentQueue()->queue->Write(PositionOf(segment, offset), from, std::move(tracked));
}
void Device::Sync(IoDone done) {
  IoDone tracked = Track(Kind::kChange, {}, std::move(done));
  FaultAt("ssd.sync");
  CurrentQueue()->queue->Sync(std::move(tracked));
}

int Device::ReadNow(uint32_t segment, uint64_t offset, std::span<std::byte> into) {
  auto ended = std::make_shared<std::promise<int>>();
  std::future<int> error = ended->get_future();
  Read(segment, offset, into, [ended](int result) { ended->set_value(result); });
  return error.get();
}

IoDone Device::Track(Kind kind, std::span<std::byte> read, IoDone done) {
  uint64_t id = 0;
  {
    MutexLock lock(mutex_);
    id = ++next_id_;
    in_flight_.emplace_hint(in_flight_.end(), id, clock_.Now());
  }
  return [this, id, kind, read, done = std::move(done)](int error) {
    const int fault = kind == Kind::kRead ? FaultBytes("ssd.read", read) : FaultAt("ssd.write");
    if (error == 0) error = fault;
    Ended(id, kind, error);
    done(error);
  };
}

void Device::Ended(uint64_t id, Kind kind, int error) {
  {
    MutexLock lock(mutex_);
    in_flight_.erase(id);
    last_end_ = clock_.Now();
  }
  if (error == 0) {
    if (kind == Kind::kRead) read_errors_in_row_.store(0, std::memory_order_relaxed);
    return;
  }
  errors_.fetch_add(1, std::memory_order_relaxed);
  if (kind == Kind::kChange ||
      read_errors_in_row_.fetch_add(1, std::memory_order_relaxed) + 1 >= kReadErrorsInRowMax) {
    GoOffline();
  }
}

void Device::CheckStall() {
  bool stalled = false;
  {
    MutexLock lock(mutex_);
    if (!in_flight_.empty()) {
      // While others end, what is in flight may only be waiting for its turn.
      const TimePoint now = clock_.Now();
      const TimePoint oldest = in_flight_.begin()->second;
      stalled = now - std::max(oldest, last_end_) > options_.stall_limit ||
                now - oldest > kStuckFactor * options_.stall_limit;
    }
  }
  if (stalled) GoOffline();
}

void Device::GoOffline() {
  if (!online_.exchange(false, std::memory_order_acq_rel)) return;
  LogWarn("a device of the SSD tier went offline",
          {{"device", static_cast<int64_t>(options_.index)}});
  {
    MutexLock lock(mutex_);  // so that the prober is either before its test or asleep
  }
  changed_.NotifyAll();
}

void Device::Prober(const std::stop_token& stopped) {
  while (!stopped.stop_requested()) {
    {
      MutexLock lock(mutex_);
      if (online()) {
        changed_.Wait(mutex_);
        continue;
      }
      changed_.WaitFor(mutex_, options_.probe_interval);
    }
    if (stopped.stop_requested()) return;
    if (TryProbe(stopped)) {
      read_errors_in_row_.store(0, std::memory_order_relaxed);
      online_.store(true, std::memory_order_release);
      LogInfo("a device of the SSD tier is back",
              {{"device", static_cast<int64_t>(options_.index)}});
    } else if (!stopped.stop_requested()) {
      ReopenFile();
    }
    DropRetired();
  }
}

bool Device::TryProbe(const std::stop_token& stopped) {
  const auto probe = std::make_shared<Probe>();
  std::future<bool> works = probe->works.get_future();
  uint64_t pattern = 0;
  {
    MutexLock lock(mutex_);
    pattern = next_id_;
  }
  std::memcpy(probe->written.bytes.data(), &pattern, sizeof(pattern));
  const std::shared_ptr<OpenQueue> open = CurrentQueue();
  IoQueue* queue = open->queue.get();  // alive: only this thread retires queues
  probe_bytes_.fetch_add(kIoAlignment, std::memory_order_relaxed);
  queue->Write(0, probe->written.bytes, [queue, probe](int write_error) {
    if (write_error != 0) return probe->works.set_value(false);
    queue->Sync([queue, probe](int sync_error) {
      if (sync_error != 0) return probe->works.set_value(false);
      queue->Read(0, probe->read.bytes, [probe](int read_error) {
        probe->works.set_value(read_error == 0 && probe->read.bytes == probe->written.bytes);
      });
    });
  });
  // A stalled device answers late or never; then the wait ends with the server.
  while (works.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    if (stopped.stop_requested()) return false;
  }
  return works.get();
}

void Device::ReopenFile() {
  auto file = directory_->OpenSegments(/*make=*/false);
  if (!file.ok()) return;
  std::shared_ptr<OpenQueue> opened = MakeQueue(*std::move(file));
  MutexLock lock(mutex_);
  retired_.push_back(std::exchange(queue_, std::move(opened)));
}

void Device::DropRetired() {
  std::vector<std::shared_ptr<OpenQueue>> unused;
  {
    MutexLock lock(mutex_);
    // Nobody can take a new reference to a retired queue: a count of one stays one.
    std::erase_if(retired_, [&](std::shared_ptr<OpenQueue>& queue) {
      if (queue.use_count() > 1) return false;
      unused.push_back(std::move(queue));
      return true;
    });
  }
}

uint32_t Device::CountSegments() const {
  return SsdDirectory::CountSegments(CurrentQueue()->file, options_.segment_bytes);
}
int Device::Reserve(uint32_t count) {
  return SsdDirectory::Reserve(CurrentQueue()->file, options_.segment_bytes, count);
}
absl::Status Device::Truncate(uint32_t count) {
  return SsdDirectory::Truncate(CurrentQueue()->file, options_.segment_bytes, count);
}

std::string_view Device::queue_name() const { return CurrentQueue()->queue->name(); }

}  // namespace larder::server
