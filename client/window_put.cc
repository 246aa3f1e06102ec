#include "client/window_put.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "client/outgoing_frame.h"
#include "client/retention_wire.h"
#include "client/unary_call.h"
#include "larder/v1/window.grpc.pb.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/shm_window.h"

namespace larder {
namespace {

// Header regions travel in the request; gRPC takes 4 MiB.
constexpr uint64_t kHeaderBytesPerCallMax = 2u << 20;
constexpr size_t kBlocksPerCallMax = 4'096;

// Where the payload stands in the window already; nullopt when it does not, or has gaps.
std::optional<uint64_t> StandsInWindow(const OutgoingFrame& frame, const ClientWindow& window) {
  const auto memory = window.memory();
  const std::byte* next = nullptr;
  for (size_t i = 1; i < frame.pieces.size(); ++i) {
    const auto bytes = frame.pieces[i].bytes;
    if (next != nullptr && bytes.data() != next) return std::nullopt;
    next = bytes.data() + bytes.size();
  }
  if (frame.pieces.size() < 2) return std::nullopt;
  const std::byte* const begin = frame.pieces[1].bytes.data();
  if (std::less<>()(begin, memory.data()) || std::less<>()(memory.data() + memory.size(), next)) {
    return std::nullopt;
  }
  const auto offset = static_cast<uint64_t>(begin - memory.data());
  if (offset % ProgressSlot::kUnitBytes != 0) return std::nullopt;
  return offset;
}

// One attempt; goes on on the thread of each answer.
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
  bool Place(const PutBlock& block);
  void Send();
  void OnAnswer(absl::Status status);
  void GiveRoomBack();

  const std::shared_ptr<Channel> channel_;
  const OpenWindow open_;
  const std::shared_ptr<PutWork> work_;
  const SystemTime deadline_;
  Channel::Report report_;
  size_t next_ = 0;  // first block that is not in a call yet

  // The call under way.
  size_t first_ = 0;
  std::vector<WindowSpan> spans_;  // of every payload
  std::vector<WindowSpan> taken_;  // those of them that are ours to give back
  uint64_t header_bytes_ = 0;
  uint64_t tag_ = 0;
  v1::PutFromWindowRequest request_;
  v1::PutFromWindowResponse response_;
};

void WindowPut::NextCall() {
  if (next_ == work_->blocks.size()) {
    report_(absl::OkStatus());
    return;
  }
  request_.Clear();
  response_.Clear();
  header_bytes_ = 0;
  first_ = next_;
  while (next_ < work_->blocks.size() && spans_.size() < kBlocksPerCallMax &&
         header_bytes_ < kHeaderBytesPerCallMax && Place(work_->blocks[next_])) {
    ++next_;
  }
  channel_->plane().CountCall(!spans_.empty());
  if (!spans_.empty()) {
    Send();
    return;
  }
  // No room for even one: this and what follows go inline.
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
  const OutgoingFrame frame = FrameOf(*work_, block, *channel_);
  const auto header = frame.pieces[0].bytes;
  const uint64_t payload_bytes = frame.frame_bytes - header.size();
  WindowSpan span{0, payload_bytes};
  if (const auto offset = StandsInWindow(frame, *open_.window)) {
    span.offset = *offset;
  } else {
    const auto taken = open_.ranges->Take(std::max<uint64_t>(payload_bytes, 1));
    if (!taken) return false;
    span.offset = taken->offset;
    taken_.push_back(*taken);
    std::byte* target = open_.window->memory().data() + span.offset;
    for (size_t i = 1; i < frame.pieces.size(); ++i) {
      std::memcpy(target, frame.pieces[i].bytes.data(), frame.pieces[i].bytes.size());
      target += frame.pieces[i].bytes.size();
    }
  }
  spans_.push_back(span);
  header_bytes_ += header.size();
  v1::WindowPutBlock* const wire = request_.add_blocks();
  wire->set_frame_header(header.data(), header.size());
  wire->mutable_payload()->set_offset(span.offset);
  wire->mutable_payload()->set_bytes(span.bytes);
  *wire->mutable_retention() = ToWire(block.retention);
  return true;
}

void WindowPut::Send() {
  *request_.mutable_open() = OpenOf(*work_, spans_.size());
  request_.set_window_id(std::string(open_.window->id()));
  tag_ = open_.window->BeginCall(spans_, {}, nullptr);
  request_.set_tag(tag_);
  StartUnary(
      *channel_, deadline_, &request_, &response_,
      [self = shared_from_this()](absl::Status status) { self->OnAnswer(std::move(status)); },
      [this](auto... arguments) { channel_->windows().async()->PutFromWindow(arguments...); });
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
  spans_.clear();
  taken_.clear();
}

}  // namespace

void StartWindowPut(const std::shared_ptr<Channel>& channel, const OpenWindow& open,
                    std::shared_ptr<PutWork> work, SystemTime deadline, Channel::Report report) {
  std::make_shared<WindowPut>(channel, open, std::move(work), deadline, std::move(report))
      ->NextCall();
}

}  // namespace larder
