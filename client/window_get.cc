#include "client/window_get.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "client/call_waiter.h"
#include "client/progress_wait.h"
#include "client/unary_call.h"
#include "client/window_answer.h"
#include "client/window_get_internal.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// Blocks of one request: 48 bytes each, well under gRPC's 4 MiB.
constexpr size_t kBatchBlocksMax = 16'384;

}  // namespace

void WindowGet::NextBatch() {
  if (todo_.empty()) {
    work_->pending = std::move(damaged_);
    report_(absl::OkStatus());
    return;
  }
  bool room = TakeRoom();
  if (!room && batch_ != nullptr && work_->device != nullptr) {
    // A device may still read the blocks before; this is the thread that waits for them.
    work_->device->Await(work_->results, deadline_);
    room = TakeRoom();
  }
  if (!room) {
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
    const auto place = open_.window->memory().subspan(span->offset, span->bytes);
    blocks_.push_back(
        {*span, ArrivingFrame(*work_, channel_->coders(), index, place, open_.memory())});
    todo_.pop_front();
  }
  if (!blocks_.empty() && (!work_->prefix || todo_.empty())) return true;
  open_.ranges->Free(slots_);
  for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
    open_.ranges->Free(it->span);
    todo_.push_front(it->frame.index());
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
  batch_ = std::make_shared<Batch>(this);
  v1::GetToWindowRequest& request = batch_->request;
  std::vector<uint32_t> indices;
  std::vector<WindowSpan> spans;
  room_bytes_ = 0;
  for (const Arriving& block : blocks_) {
    indices.push_back(block.frame.index());
    spans.push_back(block.span);
    room_bytes_ += block.span.bytes;
    v1::WindowRange* const target = request.add_targets();
    target->set_offset(block.span.offset);
    target->set_bytes(block.span.bytes);
  }
  *request.mutable_get() = RequestOf(*work_, indices);
  request.set_window_id(std::string(open_.window->id()));
  request.set_prefix(work_->prefix);
  if (work_->lease_ttl.count() > 0) {
    *request.mutable_lease_ttl() = DurationToWire(work_->lease_ttl);
  }
  ChooseCache();
  request.set_to_caches(to_caches_);
  // Told of layers, the caller may take its time, which is not the receiving thread's.
  on_arrival_ = !open_.window->server_tells() && !work_->options.on_layers && FewCores();
  std::memset(open_.window->memory().data() + slots_.offset, 0, slots_.bytes);
  if (open_.window->server_tells()) request.set_progress_offset(slots_.offset);
  tag_ = open_.window->BeginGet(spans, {&SlotAt(0), spans.size()},
                                on_arrival_ ? ToBatch() : ClientWindow::Arrived());
  request.set_tag(tag_);
  const auto self = shared_from_this();
  const auto waiter = work_->waiter;
  {
    const auto turn = on_arrival_ && waiter != nullptr ? open_.window->TakeTurn() : nullptr;
    over_link_ = SendOverLink();
    if (over_link_ && turn != nullptr) {
      turn->Step();
      turn->LeaveToWaiter();
    }
  }
  if (!over_link_) SendOverGrpc();
  if (waiter != nullptr) waiter->Offer([self] { self->WaitFor(); });
}

// Only who waits, and does nothing but receive, can tell how fast that is.
void WindowGet::ChooseCache() {
  CacheChoice* const choice = open_.window->cache_choice();
  timed_ = choice != nullptr && work_->waiter != nullptr && !work_->options.on_layers &&
           work_->device == nullptr && !work_->verify_at_server;
  to_caches_ = timed_ && choice->ToCaches(room_bytes_);
  sent_at_ = std::chrono::steady_clock::now();
}

// Called when every block is whole.
void WindowGet::RecordTime() {
  if (!timed_) return;
  const auto took = std::chrono::steady_clock::now() - sent_at_;
  uint64_t bytes = 0;
  for (const Arriving& block : blocks_) bytes += block.frame.frame_bytes();
  open_.window->cache_choice()->Record(room_bytes_, to_caches_, bytes, took);
}

// For a caller that waits, who does nothing on the window's thread.
bool WindowGet::SendOverLink() {
  if (work_->waiter == nullptr || work_->options.on_layers) return false;
  if (blocks_.size() > kWindowCallBlocksMax) return false;
  v1::WindowCall call;
  call.mutable_get()->Swap(&batch_->request);
  const auto number = open_.window->calls().Start(
      call, deadline_, [batch = batch_](absl::StatusOr<v1::WindowReply> reply) {
        if (reply.ok()) {
          std::lock_guard lock(batch->mutex);
          if (!batch->answered.load()) batch->response.Swap(reply->mutable_get());
        }
        batch->Answer(reply.status());
      });
  if (!number) call.mutable_get()->Swap(&batch_->request);
  return number.has_value();
}

void WindowGet::SendOverGrpc() {
  const auto batch = batch_;
  const auto alone = work_->waiter == nullptr ? shared_from_this() : nullptr;
  const auto channel = channel_;
  StartUnary(
      *channel, deadline_, &batch->request, &batch->response,
      [batch, alone](const absl::Status& status) {
        batch->Answer(status);
        if (alone != nullptr) alone->Conclude(true);
      },
      [&channel](auto... arguments) { channel->windows().async()->GetToWindow(arguments...); });
}

void WindowGet::Batch::Answer(absl::Status status) {
  {
    std::lock_guard lock(mutex);
    if (answered.load()) return;
    answer = std::move(status);
    answered.store(true);
    changed.notify_one();
  }
  if (std::atomic<uint32_t>* const word = sleeping_on.load()) WakeAll(*word);
}

// `answered`: else every block is whole.
void WindowGet::Conclude(bool answered) {
  absl::Status status = answered ? batch_->answer : absl::OkStatus();
  if (answered && status.ok() &&
      !open_.window->AwaitArrival(tag_, SentBytes(batch_->response), ArrivalDeadline(deadline_))) {
    status = ServerUnreachable(channel_->options().address, "the window's transfers broke off");
  }
  untouched_ = open_.window->EndCall(tag_, !answered || IsAnswer(batch_->answer));
  if (!answered) {
    for (Arriving& block : blocks_) TakeHit(block);
  } else if (status.ok()) {
    status = TakeAnswers();
  }
  GiveRoomBack();
  if (status.ok()) {
    NextBatch();
  } else {
    std::exchange(report_, nullptr)(std::move(status));
  }
}

absl::Status WindowGet::TakeAnswers() {
  const v1::GetToWindowResponse& response = batch_->response;
  if (response.results_size() != static_cast<int>(blocks_.size())) {
    return Bug("the server's GetToWindowResponse does not answer every block");
  }
  if (work_->prefix) {
    work_->prefix = false;  // what is asked for again is a plain get under this lease
    work_->lease_id = response.lease_id();
    work_->options.lease_id = work_->lease_id;
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    TakeAnswer(blocks_[i], response.results(static_cast<int>(i)));
  }
  return absl::OkStatus();
}

void WindowGet::TakeAnswer(Arriving& block, const v1::WindowGetResult& answer) {
  const uint32_t index = block.frame.index();
  if (answer.outcome() == v1::GET_OUTCOME_TOO_LARGE && answer.frame_bytes() > block.span.bytes) {
    work_->results[index] = {};
    needed_[index] = answer.frame_bytes();
    todo_.push_back(index);
  } else if (answer.outcome() != v1::GET_OUTCOME_HIT) {
    work_->results[index] = {};
    work_->results[index].miss_reason = MissReasonFromWire(answer.miss_reason());
  } else {
    if (!on_arrival_) block.frame.Feed(answer.frame_bytes(), answer.frame_bytes());
    TakeHit(block);
  }
}

void WindowGet::TakeHit(Arriving& block) {
  GetResult& result = work_->results[block.frame.index()];
  result = {};
  result.frame_bytes = block.frame.frame_bytes();
  FrameReceiver* const receiver = block.frame.Finish();
  if (receiver == nullptr) {
    result.miss_reason = MissReason::kCorrupt;
    damaged_.push_back(block.frame.index());
    return;
  }
  TakeResult(*receiver, *work_, result);
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
  {
    std::lock_guard lock(batch_->mutex);
    batch_->get = nullptr;
  }
  give(slots_, slots);
  for (size_t i = 0; i < blocks_.size(); ++i) give(blocks_[i].span, {slots[i]});
  open_.ranges->Retire(std::move(retired));
  blocks_.clear();
}

void StartWindowGet(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<GetWork> work, SystemTime deadline, Channel::Report report) {
  std::make_shared<WindowGet>(channel, open, std::move(work), deadline, std::move(report))
      ->NextBatch();
}

}  // namespace larder
