#include "client/window_get.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "client/plane.h"
#include "client/progress_wait.h"
#include "client/unary_call.h"
#include "client/window_answer.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// Blocks of one request: 48 bytes each, well under gRPC's 4 MiB.
constexpr size_t kBatchBlocksMax = 16'384;
// While so much of a call is still to come the server may run ahead, which costs no time (the check is faster
// than the copy) and spares the CPU the spinning.
constexpr uint64_t kRunAheadBytes = 3 << 20;
// Fewer are taken by the thread that receives and the server's that sends, when both are here: then the first verifies
// as well, what it has in its cache, in place of a third thread that would take turns with them.
constexpr unsigned kCoresToOverlap = 3;

// One block of the batch that is under way.
struct Arriving {
  uint32_t index = 0;  // in the work
  WindowSpan span;
  ExpectedFrame expected;
  std::optional<FrameReceiver> receiver;
  std::optional<LayersTeller> teller;
  uint64_t frame_bytes = 0;
  uint64_t fed = 0;
};

// One attempt. Two threads meet in it: the one that receives blocks (the helper, or the answer's), and the
// answer's. Whoever is through last goes on alone.
class WindowGet : public std::enable_shared_from_this<WindowGet> {
 public:
  WindowGet(std::shared_ptr<Channel> channel, OpenWindow open, std::shared_ptr<GetWork> work,
            SystemTime deadline, Channel::Report report)
      : channel_(std::move(channel)),
        open_(std::move(open)),
        work_(std::move(work)),
        deadline_(deadline),
        report_(std::move(report)),
        todo_(work_->pending.begin(), work_->pending.end()) {}

  void NextBatch();

 private:
  // The way from the window's thread to this batch. Not through a reference that counts: that thread must not
  // be the one that lets go of the window.
  struct Inbox {
    explicit Inbox(WindowGet* of) : get(of) {}
    std::mutex mutex;
    WindowGet* get;
  };
  bool TakeRoom();
  void Send();
  void OnAnswer(const absl::Status& status);
  void Receive();
  void ReceiveBlock(size_t position);
  void Feed(Arriving& block, uint64_t frame_bytes, uint64_t available);
  uint64_t BytesBehind(size_t position) const;
  void AwaitMore(size_t position, uint32_t seen, bool begun);
  void MeetUp();
  void Conclude();
  absl::Status TakeAnswers();
  void TakeAnswer(Arriving& block, const v1::WindowGetResult& answer);
  void GiveRoomBack();
  void GoInline();
  ProgressSlot& SlotAt(size_t position) const {
    std::byte* const slots = open_.window->memory().data() + slots_.offset;
    return reinterpret_cast<ProgressSlot*>(slots)[position];
  }

  const std::shared_ptr<Channel> channel_;
  const OpenWindow open_;
  const std::shared_ptr<GetWork> work_;
  const SystemTime deadline_;
  Channel::Report report_;
  std::deque<uint32_t> todo_;
  std::map<uint32_t, uint64_t> needed_;  // range sizes of frames that were too large
  std::vector<uint32_t> damaged_;

  // The batch under way.
  std::deque<Arriving> blocks_;
  WindowSpan slots_;
  uint64_t tag_ = 0;
  std::shared_ptr<Inbox> inbox_;
  bool untouched_ = false;  // the call has ended so that nothing touches its spans any more
  v1::GetToWindowRequest request_;
  v1::GetToWindowResponse response_;
  absl::Status answer_;
  std::atomic<bool> answered_{false};
  std::atomic<std::atomic<uint32_t>*> sleeping_on_{nullptr};
  std::atomic<int> meeting_{0};
};

void WindowGet::NextBatch() {
  if (todo_.empty()) {
    work_->pending = std::move(damaged_);
    report_(absl::OkStatus());
    return;
  }
  if (!TakeRoom()) {
    GoInline();
    return;
  }
  channel_->plane().CountCall(true);
  Send();
}

// Ranges for the next blocks, as many as fit; all of them for a prefix.
bool WindowGet::TakeRoom() {
  const size_t count = std::min(todo_.size(), kBatchBlocksMax);
  const auto slots = open_.ranges->Take(count * sizeof(ProgressSlot));
  if (!slots) return false;
  slots_ = *slots;
  const uint64_t raw_frame_bytes = RawFrameBytes(work_->space.shape);
  while (blocks_.size() < count) {
    const uint32_t index = todo_.front();
    const auto needed = needed_.find(index);
    const auto span =
        open_.ranges->Take(needed == needed_.end() ? raw_frame_bytes : needed->second);
    if (!span) break;
    Arriving& block = blocks_.emplace_back();
    block.index = index;
    block.span = *span;
    todo_.pop_front();
  }
  if (!blocks_.empty() && (!work_->prefix || todo_.empty())) return true;
  open_.ranges->Free(slots_);
  for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
    open_.ranges->Free(it->span);
    todo_.push_front(it->index);
  }
  blocks_.clear();
  return false;
}

void WindowGet::GoInline() {
  if (work_->prefix) {
    work_->prefix_without_room = true;
    work_->pending.clear();
    report_(absl::OkStatus());
    return;
  }
  channel_->plane().CountCall(false);
  work_->pending.assign(todo_.begin(), todo_.end());
  StartGet(channel_, work_, deadline_,
           [work = work_, damaged = std::move(damaged_),
            report = std::move(report_)](absl::Status status) {
             work->pending.insert(work->pending.end(), damaged.begin(), damaged.end());
             report(std::move(status));
           });
}

void WindowGet::Send() {
  std::vector<uint32_t> indices;
  std::vector<WindowSpan> spans;
  request_.Clear();
  response_.Clear();
  for (const Arriving& block : blocks_) {
    indices.push_back(block.index);
    spans.push_back(block.span);
    v1::WindowRange* const target = request_.add_targets();
    target->set_offset(block.span.offset);
    target->set_bytes(block.span.bytes);
  }
  *request_.mutable_get() = RequestOf(*work_, indices);
  request_.set_window_id(std::string(open_.window->id()));
  request_.set_prefix(work_->prefix);
  if (work_->lease_ttl.count() > 0) {
    *request_.mutable_lease_ttl() = DurationToWire(work_->lease_ttl);
  }
  // Told of layers, the caller may take its time, which is not the receiving thread's.
  const bool on_arrival = !open_.window->server_tells() && !work_->options.on_layers &&
                          std::thread::hardware_concurrency() < kCoresToOverlap;
  const bool overlaps = work_->helper != nullptr && !on_arrival;
  ClientWindow::Arrived arrived;
  if (on_arrival) {
    inbox_ = std::make_shared<Inbox>(this);
    arrived = [inbox = inbox_](size_t position, uint64_t bytes, uint64_t frame_bytes) {
      std::lock_guard lock(inbox->mutex);
      if (inbox->get == nullptr) return;  // the call could not be ended in time
      inbox->get->Feed(inbox->get->blocks_[position], frame_bytes, std::min(bytes, frame_bytes));
    };
  }
  std::memset(open_.window->memory().data() + slots_.offset, 0, slots_.bytes);
  if (open_.window->server_tells()) request_.set_progress_offset(slots_.offset);
  tag_ = open_.window->BeginCall(spans, {&SlotAt(0), spans.size()}, std::move(arrived));
  request_.set_tag(tag_);
  answered_.store(false, std::memory_order_relaxed);
  meeting_.store(overlaps ? 2 : 1, std::memory_order_relaxed);
  const auto self = shared_from_this();
  if (overlaps) {
    work_->helper->Offer([self] {
      self->Receive();
      self->MeetUp();
    });
  }
  StartUnary(
      *channel_, deadline_, &request_, &response_,
      [self](absl::Status status) { self->OnAnswer(status); },
      [this](auto... arguments) { channel_->windows().async()->GetToWindow(arguments...); });
}

void WindowGet::OnAnswer(const absl::Status& status) {
  answer_ = status;
  answered_.store(true);
  if (std::atomic<uint32_t>* const word = sleeping_on_.load()) WakeAll(*word);
  MeetUp();
}

void WindowGet::MeetUp() {
  if (meeting_.fetch_sub(1, std::memory_order_acq_rel) == 1) Conclude();
}

// Block after block, as far as the server tells.
void WindowGet::Receive() {
  for (size_t position = 0; position < blocks_.size(); ++position) ReceiveBlock(position);
}

void WindowGet::ReceiveBlock(size_t position) {
  Arriving& block = blocks_[position];
  ProgressSlot& slot = SlotAt(position);
  while (true) {
    const bool last_look = answered_.load(std::memory_order_acquire);
    const uint32_t state = slot.state.load(std::memory_order_acquire);
    const bool begun = (state & ProgressSlot::kBegun) != 0;
    if (begun) {
      const uint64_t frame_bytes = slot.frame_bytes.load(std::memory_order_relaxed);
      const uint64_t available = (state & ProgressSlot::kUnitsMask) * ProgressSlot::kUnitBytes;
      Feed(block, frame_bytes, std::min(available, frame_bytes));
    }
    if ((state & ProgressSlot::kEnded) != 0 || last_look) return;
    AwaitMore(position, state, begun);
  }
}

void WindowGet::Feed(Arriving& block, uint64_t frame_bytes, uint64_t available) {
  if (frame_bytes > block.span.bytes || available <= block.fed) return;
  if (!block.receiver) {
    block.frame_bytes = frame_bytes;
    block.expected = ExpectedOf(*work_, block.index);
    const auto destination = work_->blocks[block.index].destination;
    block.receiver.emplace(block.expected, frame_bytes, destination, channel_->coders(),
                           FrameReceiver::Options{.contiguous = true, .view = destination.empty()});
    block.teller.emplace(work_->options);
  }
  if (block.frame_bytes != frame_bytes) return;
  const std::byte* const frame = open_.window->memory().data() + block.span.offset;
  block.receiver->Write({frame + block.fed, available - block.fed});
  block.fed = available;
  block.teller->Tell(block.index, block.receiver->layers_ready());
}

// Bytes of the blocks behind this one, at most.
uint64_t WindowGet::BytesBehind(size_t position) const {
  uint64_t bytes = 0;
  for (size_t i = position + 1; i < blocks_.size() && bytes < kRunAheadBytes; ++i) {
    bytes += blocks_[i].span.bytes;
  }
  return bytes;
}

void WindowGet::AwaitMore(size_t position, uint32_t seen, bool begun) {
  ProgressSlot& slot = SlotAt(position);
  if (begun && open_.window->server_tells()) {
    if (!work_->options.on_layers && BytesBehind(position) >= kRunAheadBytes) return Nap();
    if (SpinUntilChanged(slot.state, seen)) return;
  }
  slot.waiters.store(1);
  sleeping_on_.store(&slot.state);
  if (!answered_.load() && slot.state.load() == seen) SleepOn(slot.state, seen);
  sleeping_on_.store(nullptr);
  slot.waiters.store(0, std::memory_order_relaxed);
}

void WindowGet::Conclude() {
  absl::Status status = answer_;
  if (status.ok() &&
      !open_.window->AwaitArrival(tag_, SentBytes(response_), ArrivalDeadline(deadline_))) {
    status = ServerUnreachable(channel_->options().address, "the window's transfers broke off");
  }
  untouched_ = open_.window->EndCall(tag_, IsAnswer(answer_));
  if (status.ok()) status = TakeAnswers();
  GiveRoomBack();
  if (status.ok()) {
    NextBatch();
  } else {
    std::exchange(report_, nullptr)(std::move(status));
  }
}

absl::Status WindowGet::TakeAnswers() {
  if (response_.results_size() != static_cast<int>(blocks_.size())) {
    return Bug("the server's GetToWindowResponse does not answer every block");
  }
  if (work_->prefix) {
    work_->prefix = false;  // what is asked for again is a plain get under this lease
    work_->lease_id = response_.lease_id();
    work_->options.lease_id = work_->lease_id;
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    TakeAnswer(blocks_[i], response_.results(static_cast<int>(i)));
  }
  return absl::OkStatus();
}

void WindowGet::TakeAnswer(Arriving& block, const v1::WindowGetResult& answer) {
  GetResult& result = work_->results[block.index];
  result = {};
  if (answer.outcome() == v1::GET_OUTCOME_TOO_LARGE && answer.frame_bytes() > block.span.bytes) {
    needed_[block.index] = answer.frame_bytes();
    todo_.push_back(block.index);
    return;
  }
  if (answer.outcome() != v1::GET_OUTCOME_HIT) {
    result.miss_reason = MissReasonFromWire(answer.miss_reason());
    return;
  }
  result.frame_bytes = answer.frame_bytes();
  Feed(block, answer.frame_bytes(), answer.frame_bytes());
  if (!block.receiver || block.fed != answer.frame_bytes() || !block.receiver->Finish()) {
    result.miss_reason = MissReason::kCorrupt;
    damaged_.push_back(block.index);
    return;
  }
  TakeResult(*block.receiver, *work_, result);
  if (!result.view.empty() && result.owner == nullptr) {
    result.owner = HoldRange(open_, block.span);  // the view keeps its range
    block.span = {};
  }
}

// What the call's transfers can not touch any more is free; the rest is retired until its slot says so. The
// slots first: whoever finds them all ended, and so free, finds every block ended after that.
void WindowGet::GiveRoomBack() {
  std::vector<const ProgressSlot*> slots;
  for (size_t i = 0; i < blocks_.size(); ++i) slots.push_back(&SlotAt(i));
  std::vector<WindowRanges::Retired> retired;
  const auto give = [&](const WindowSpan& span, std::vector<const ProgressSlot*> ending) {
    if (span.bytes == 0) return;
    if (untouched_) {
      open_.ranges->Free(span);
      return;
    }
    if (!open_.window->server_tells()) ending.clear();
    retired.push_back({span, [ending = std::move(ending)] {
                         return !ending.empty() &&
                                std::all_of(ending.begin(), ending.end(), [](const auto* slot) {
                                  return (slot->state.load(std::memory_order_acquire) &
                                          ProgressSlot::kEnded) != 0;
                                });
                       }});
  };
  if (const auto inbox = std::exchange(inbox_, nullptr)) {
    std::lock_guard lock(inbox->mutex);
    inbox->get = nullptr;
  }
  give(slots_, slots);
  for (size_t i = 0; i < blocks_.size(); ++i) give(blocks_[i].span, {slots[i]});
  open_.ranges->Retire(std::move(retired));
  blocks_.clear();
}

}  // namespace

void StartWindowGet(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report report) {
  std::make_shared<WindowGet>(channel, open, std::move(work), deadline, std::move(report))
      ->NextBatch();
}

}  // namespace larder
