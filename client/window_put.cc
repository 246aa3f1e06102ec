#include "client/window_put.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "client/call_waiter.h"
#include "client/outgoing_frame.h"
#include "client/retention_wire.h"
#include "client/unary_call.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// Header regions travel in the request; gRPC takes 4 MiB.
constexpr uint64_t kHeaderBytesPerCallMax = 2u << 20;
constexpr size_t kBlocksPerCallMax = 4'096;

// So much of a call is told to the server at a time, while the checksums of the next are computed: little at first, so
// that it can begin.
constexpr uint64_t kFirstToldBytes = 1u << 20;
constexpr uint64_t kToldBytes = 2u << 20;
// What a message may have beside the header regions of its blocks: once, and for each block.
constexpr uint64_t kMessageOverheadBytes = 1u << 10;
constexpr uint64_t kBlockOverheadBytes = 128;
constexpr uint64_t kHeaderBytesPerMessageMax = kWindowCallBytesMax - kMessageOverheadBytes;
// How soon a connection that is full is tried again.
constexpr auto kFullPause = std::chrono::milliseconds(1);

// Where the payload stands in the window already; nullopt when it does not, or has gaps.
std::optional<uint64_t> StandsInWindow(std::span<const OutgoingFrame::Piece> payload,
                                       const ClientWindow& window) {
  const auto memory = window.memory();
  const std::byte* next = nullptr;
  for (const OutgoingFrame::Piece& piece : payload) {
    if (next != nullptr && piece.bytes.data() != next) return std::nullopt;
    next = piece.bytes.data() + piece.bytes.size();
  }
  if (payload.empty()) return std::nullopt;
  const std::byte* const begin = payload.front().bytes.data();
  if (std::less<>()(begin, memory.data()) || std::less<>()(memory.data() + memory.size(), next)) {
    return std::nullopt;
  }
  const auto offset = static_cast<uint64_t>(begin - memory.data());
  if (offset % ProgressSlot::kUnitBytes != 0) return std::nullopt;
  return offset;
}

// One attempt; goes on on the thread that waits for the call, without one on the thread of each answer.
class WindowPut : public std::enable_shared_from_this<WindowPut> {
 public:
  WindowPut(std::shared_ptr<Channel> channel, OpenWindow open, std::shared_ptr<PutWork> work,
            SystemTime deadline, Channel::Report report)
      : channel_(std::move(channel)),
        open_(std::move(open)),
        work_(std::move(work)),
        deadline_(deadline),
        report_(std::move(report)) {}

  void NextCall();

 private:
  // A block of the call under way, and the span under which the server reads it.
  struct Placed {
    const PutBlock& block;
    OutgoingFrame::Piece header;  // of a raw block: not known before it is told
    std::vector<OutgoingFrame::Piece> payload;
    WindowSpan span;
    bool stands = false;  // where it is sent from
    uint64_t header_bytes = 0;
    // At most, in a message.
    uint64_t wire_bytes() const { return header_bytes + kBlockOverheadBytes; }
  };
  // What a call over the window's connection comes to, shared with who brings it.
  struct Answer {
    void Set(absl::StatusOr<v1::WindowReply> reply);
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<absl::Status> status;
    v1::PutFromWindowResponse response;
  };

  bool Place(const PutBlock& block);
  void Send();
  void Tell(Placed& placed);
  bool IsDue(const Placed& next) const;
  bool Flush();
  void SendOverGrpc();
  void AwaitAnswer();
  void OnAnswer(absl::Status status);
  void GiveRoomBack();
  void GoInline();
  size_t blocks_max() const { return linked_ ? kWindowCallBlocksMax : kBlocksPerCallMax; }

  const std::shared_ptr<Channel> channel_;
  const OpenWindow open_;
  const std::shared_ptr<PutWork> work_;
  const SystemTime deadline_;
  Channel::Report report_;
  size_t next_ = 0;  // first block that is not in a call yet

  // The call under way.
  size_t first_ = 0;
  std::vector<Placed> placed_;
  std::vector<WindowSpan> taken_;  // spans of them that are ours to give back
  uint64_t header_bytes_ = 0;
  uint64_t tag_ = 0;
  bool linked_ = false;             // it goes over the window's connection
  std::optional<uint64_t> number_;  // there, once it has begun
  uint64_t untold_bytes_ = 0;
  uint64_t message_bytes_ = 0;        // what they take in a message, at most
  v1::PutFromWindowRequest request_;  // what the server is to be told
  v1::PutFromWindowResponse response_;
  std::shared_ptr<Answer> answer_;
};

void WindowPut::NextCall() {
  if (next_ == work_->blocks.size()) {
    report_(absl::OkStatus());
    return;
  }
  linked_ = work_->waiter != nullptr;
  header_bytes_ = 0;
  first_ = next_;
  while (next_ < work_->blocks.size() && placed_.size() < blocks_max() &&
         header_bytes_ < kHeaderBytesPerCallMax && Place(work_->blocks[next_])) {
    ++next_;
  }
  channel_->plane().CountCall(!placed_.empty());
  placed_.empty() ? GoInline() : Send();
}

// No room for even one: this and what follows.
void WindowPut::GoInline() {
  auto rest = std::make_shared<PutWork>(*work_);
  rest->blocks.erase(rest->blocks.begin(), rest->blocks.begin() + static_cast<ptrdiff_t>(next_));
  rest->results.assign(rest->blocks.size(), {});
  StartPut(channel_, rest, deadline_,
           [self = shared_from_this(), rest, begin = next_](absl::Status status) {
             std::move(rest->results.begin(), rest->results.end(),
                       self->work_->results.begin() + static_cast<ptrdiff_t>(begin));
             std::exchange(self->report_, nullptr)(std::move(status));
           });
}

// Adds a block to the call; false when the window has no room for it now.
bool WindowPut::Place(const PutBlock& block) {
  Placed placed{block, {}, {}, {}};
  OutgoingFrame frame =
      work_->recipe ? FrameOf(*work_, block, *channel_) : RawPayload(work_->space, block);
  if (work_->recipe) {
    placed.header = std::move(frame.pieces.front());
    frame.pieces.erase(frame.pieces.begin());
  }
  placed.payload = std::move(frame.pieces);
  for (const auto& piece : placed.payload) placed.span.bytes += piece.bytes.size();
  if (open_.window->sends_from_anywhere()) {
    if (placed.span.bytes > open_.window->memory().size()) return false;
    placed.stands = true;
  } else if (const auto offset = StandsInWindow(placed.payload, *open_.window)) {
    placed.span.offset = *offset;
    placed.stands = true;
  } else {
    const auto taken = open_.ranges->Take(std::max<uint64_t>(placed.span.bytes, 1));
    if (!taken) return false;
    placed.span.offset = taken->offset;
    taken_.push_back(*taken);
  }
  placed.header_bytes = frame.frame_bytes - placed.span.bytes;
  header_bytes_ += placed.header_bytes;
  placed_.push_back(std::move(placed));
  return true;
}

// The server reads the first blocks while the checksums of the next are computed.
void WindowPut::Send() {
  std::vector<ClientWindow::Payload> payloads;
  for (const Placed& placed : placed_) payloads.push_back({placed.span, placed.payload});
  tag_ = open_.window->BeginPut(payloads);
  request_.Clear();
  *request_.mutable_open() = OpenOf(*work_, placed_.size());
  request_.set_window_id(std::string(open_.window->id()));
  request_.set_tag(tag_);
  number_.reset();
  linked_ = linked_ && std::ranges::all_of(placed_, [](const Placed& placed) {
              return placed.wire_bytes() <= kHeaderBytesPerMessageMax;
            });
  {
    const auto turn = linked_ && FewCores() ? open_.window->TakeTurn() : nullptr;
    bool told = true;
    for (auto placed = placed_.begin(); told && placed != placed_.end(); ++placed) {
      if (IsDue(*placed)) {
        told = Flush();
        if (turn == nullptr) std::this_thread::yield();  // to who reads them, where cores are few
      }
      if (turn != nullptr) turn->Step();
      if (told) Tell(*placed);
    }
    if (told) Flush();
    if (turn != nullptr && number_) {
      turn->Step();
      turn->LeaveToWaiter();
    }
  }
  if (!number_) return SendOverGrpc();
  work_->waiter->Offer([self = shared_from_this()] { self->AwaitAnswer(); });
}

// Whether what is to be told goes before this block.
bool WindowPut::IsDue(const Placed& next) const {
  return untold_bytes_ >= (number_ ? kToldBytes : kFirstToldBytes) ||
         message_bytes_ + next.wire_bytes() > kHeaderBytesPerMessageMax;
}

// Computes its checksums, and lays it where the server will look for it.
void WindowPut::Tell(Placed& placed) {
  if (placed.header.owner == nullptr) placed.header = RawHeader(work_->space, placed.block);
  if (!placed.stands) {
    std::byte* target = open_.window->memory().data() + placed.span.offset;
    for (const auto& piece : placed.payload) {
      std::memcpy(target, piece.bytes.data(), piece.bytes.size());
      target += piece.bytes.size();
    }
  }
  v1::WindowPutBlock* const wire = request_.add_blocks();
  wire->set_frame_header(placed.header.bytes.data(), placed.header.bytes.size());
  wire->mutable_payload()->set_offset(placed.span.offset);
  wire->mutable_payload()->set_bytes(placed.span.bytes);
  *wire->mutable_retention() = ToWire(placed.block.retention);
  untold_bytes_ += placed.header.bytes.size() + placed.span.bytes;
  message_bytes_ += placed.wire_bytes();
}

// Sends what is to be told over the window's connection. Where that does not take the beginning of a call, gRPC will all.
// False when the rest can not be told: the connection has ended, or took nothing until the deadline.
bool WindowPut::Flush() {
  untold_bytes_ = message_bytes_ = 0;
  if (!linked_) return true;
  CallLink& link = open_.window->calls();
  v1::WindowCall message;
  if (number_) {
    message.mutable_more()->mutable_blocks()->Swap(request_.mutable_blocks());
    while (!link.Add(*number_, message)) {
      // It is full, with the calls of other threads or of a server that stands still.
      if (!open_.window->alive() || std::chrono::system_clock::now() >= deadline_) return false;
      std::this_thread::sleep_for(kFullPause);
    }
    return true;
  }
  answer_ = std::make_shared<Answer>();
  message.mutable_put()->Swap(&request_);
  number_ = link.Start(message, deadline_,
                       [answer = answer_](auto reply) { answer->Set(std::move(reply)); });
  linked_ = number_.has_value();
  if (!linked_) message.mutable_put()->Swap(&request_);
  return true;
}

void WindowPut::SendOverGrpc() {
  StartUnary(
      *channel_, deadline_, &request_, &response_,
      [self = shared_from_this()](absl::Status status) { self->OnAnswer(std::move(status)); },
      [this](auto... arguments) { channel_->windows().async()->PutFromWindow(arguments...); });
}

void WindowPut::Answer::Set(absl::StatusOr<v1::WindowReply> reply) {
  std::lock_guard lock(mutex);
  status = reply.status();
  if (reply.ok()) response.Swap(reply->mutable_put());
  changed.notify_one();
}

// On the thread that waits for the call.
void WindowPut::AwaitAnswer() {
  absl::Status status = DeadlineSpent("put");
  const auto here = [this] { return answer_->status.has_value(); };
  if (const auto turn = FewCores() ? open_.window->TakeTurn() : nullptr) {
    turn->Until(SteadyOf(deadline_), [&] {
      std::lock_guard lock(answer_->mutex);
      return here();
    });
  }
  {
    std::unique_lock lock(answer_->mutex);
    if (answer_->changed.wait_until(lock, deadline_, here)) {
      status = *answer_->status;
      response_.Swap(&answer_->response);
    }
  }
  OnAnswer(std::move(status));
}

void WindowPut::OnAnswer(absl::Status status) {
  open_.window->EndCall(tag_, status.ok());
  GiveRoomBack();
  if (status.ok() && response_.results_size() != static_cast<int>(next_ - first_)) {
    status = Bug("the server's PutFromWindowResponse does not answer every block");
  }
  if (!status.ok()) {
    std::exchange(report_, nullptr)(std::move(status));
    return;
  }
  for (size_t i = first_; i < next_; ++i) {
    work_->results[i] = ResultOf(response_.results(static_cast<int>(i - first_)));
  }
  NextCall();
}

// Also without an answer: the server may read a little longer, and refuses what does not match the checksums
// in the headers it was given.
void WindowPut::GiveRoomBack() {
  for (const WindowSpan& span : taken_) open_.ranges->Free(span);
  placed_.clear();
  taken_.clear();
}

}  // namespace

void StartWindowPut(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<PutWork> work, SystemTime deadline, Channel::Report report) {
  std::make_shared<WindowPut>(channel, open, std::move(work), deadline, std::move(report))
      ->NextCall();
}

}  // namespace larder
