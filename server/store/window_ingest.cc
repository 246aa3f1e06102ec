#include "server/store/window_ingest.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/tier/byte_spans.h"

namespace larder::server {

std::shared_ptr<WindowIngest> WindowIngest::Create(const WindowParts& parts,
                                                   std::shared_ptr<Window> window,
                                                   std::unique_ptr<IngestSession> session,
                                                   Request request) {
  return std::shared_ptr<WindowIngest>(
      new WindowIngest(parts, std::move(window), std::move(session), std::move(request)));
}

void WindowIngest::Start(Done done) {
  done_ = std::move(done);
  uint64_t bytes = 0;
  for (const Block& block : request_.blocks) {
    bytes += std::min(block.payload_bytes, WindowFetch::kAtOnceBytes + 1);
  }
  Add(std::move(request_.blocks));
  if (quick_ || bytes <= WindowFetch::kAtOnceBytes) {
    Run();
  } else {
    Post();
  }
}

void WindowIngest::Add(std::vector<Block> blocks) {
  {
    MutexLock lock(mutex_);
    named_ += blocks.size();
    if (named_ <= session_->count()) {
      std::move(blocks.begin(), blocks.end(), std::back_inserter(added_));
    } else {
      refused_ = InvalidField("blocks", absl::StrCat(named_),
                              absl::StrCat("open.blocks, ", session_->count()));
    }
  }
  Wake();
}

void WindowIngest::Refuse(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    refused_ = status;
  }
  Wake();
}

void WindowIngest::Cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  if (turns_.Wake()) Post();
}

void WindowIngest::Wake() {
  if (turns_.Wake()) quick_ ? Run() : Post();
}

void WindowIngest::Post() {
  parts_.pool.Post(window_.get(), [self = shared_from_this()] { self->Run(); });
}

void WindowIngest::Run() {
  const auto self = shared_from_this();
  if (!turns_.Run([this] { return Work(); })) Post();
}

bool WindowIngest::Work() {
  while (!finished_) {
    if (reading_ > 0) {
      {
        MutexLock lock(mutex_);
        if (!ended_) return true;  // its end wakes us
      }
      Fail(TakeIn());
    }
    TakeAdded();
    const bool whole = session_->missing() == 0;
    if (cancelled_.load(std::memory_order_relaxed)) stopped_ = true;
    if (stopped_ || (whole && begun_ == session_->count())) {
      if (!AheadHasEnded()) return true;  // each end wakes us
      Finish();
      return true;
    }
    if (whole) ReadAhead();
    if (whole && (begun_ == blocks_.size() || !FrontHasCome())) return true;  // what comes wakes us
    Fail(whole ? BeginNext() : GoOn());
    if (whole && begun_ > 1 && !quick_ && parts_.pool.contended()) return false;
    if (whole && begun_ % WindowFetch::kTurnBlocks == 0) return false;
  }
  return true;
}

// Unless OK, nothing further begins, and the call ends with it.
void WindowIngest::Fail(absl::Status status) {
  if (status.ok()) return;
  stopped_ = true;
  failed_ = std::move(status);
}

void WindowIngest::TakeAdded() {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    std::move(added_.begin(), added_.end(), std::back_inserter(blocks_));
    added_.clear();
    status = std::exchange(refused_, absl::OkStatus());
  }
  Fail(std::move(status));
}

// Sends for the payloads of blocks whose turn has not come.
void WindowIngest::ReadAhead() {
  looked_ahead_ = std::max(looked_ahead_, begun_);
  const auto most = static_cast<size_t>(window_->transfers_max());
  while (most > 1 && looked_ahead_ < blocks_.size() && ahead_.size() < most &&
         ahead_bytes_ < kAheadBytes) {
    const size_t index = looked_ahead_++;
    const Block& block = blocks_[index];
    if (block.payload_bytes == 0) continue;
    const std::span<const std::byte> previous =
        index == 0 ? std::span<const std::byte>() : blocks_[index - 1].frame_header;
    auto room =
        session_->RoomAhead(block.frame_header, block.frame_header.size() + block.payload_bytes,
                            block.retention, previous);
    if (!room) continue;
    const auto ahead = std::make_shared<Ahead>(Ahead{index, block.payload_bytes, *std::move(room)});
    ahead_.push_back(ahead);
    ahead_bytes_ += ahead->bytes;
    Transfer transfer = TransferOf(index);
    transfer.landed = [ahead](auto bytes) { ahead->room.verifier->Update(bytes); };
    window_->Read(transfer, Behind(ahead->room.spans, block.frame_header.size()),
                  [self = shared_from_this(), ahead](TransferEnd end) {
                    {
                      MutexLock lock(self->mutex_);
                      ahead->end = end;
                    }
                    self->Wake();
                  });
  }
}

// Whether the next block may take its turn: it is not on its way.
bool WindowIngest::FrontHasCome() {
  if (ahead_.empty() || ahead_.front()->index != begun_) return true;
  MutexLock lock(mutex_);
  return ahead_.front()->end.has_value();
}

bool WindowIngest::AheadHasEnded() {
  MutexLock lock(mutex_);
  return std::all_of(ahead_.begin(), ahead_.end(),
                     [](const auto& ahead) { return ahead->end.has_value(); });
}

// The next block's turn. One that came ahead is taken in whole.
absl::Status WindowIngest::BeginNext() {
  const Block& block = blocks_[begun_];
  const auto index = static_cast<uint32_t>(begun_++);
  payload_read_ = 0;
  std::shared_ptr<Ahead> ahead;
  if (!ahead_.empty() && ahead_.front()->index == index) {
    ahead = std::move(ahead_.front());
    ahead_.pop_front();
    ahead_bytes_ -= ahead->bytes;
    Count(*ahead->end, ahead->bytes);
    stopped_ = *ahead->end != TransferEnd::kDone;
    if (stopped_) return absl::OkStatus();
  }
  absl::Status status =
      session_->Begin(index, block.frame_header.size() + block.payload_bytes, block.retention);
  if (status.ok() && ahead != nullptr) session_->UseRoom(std::move(ahead->room));
  if (status.ok()) status = session_->Write(index, block.frame_header);
  if (!status.ok() || ahead == nullptr || session_->Landing(1).empty()) return status;
  return session_->Landed(index, ahead->bytes);
}

absl::Status WindowIngest::GoOn() {
  const ByteSpans landing = session_->Landing(window_->step_bytes());
  if (landing.empty()) {
    return session_->Skip(static_cast<uint32_t>(begun_ - 1), session_->missing());
  }
  Read(landing);
  return absl::OkStatus();
}

void WindowIngest::Read(const ByteSpans& landing) {
  Transfer transfer = TransferOf(begun_ - 1);
  transfer.offset += payload_read_;
  reading_ += BytesOf(landing);
  window_->Read(transfer, landing, [self = shared_from_this()](TransferEnd end) {
    {
      MutexLock lock(self->mutex_);
      self->ended_ = end;
    }
    self->Wake();
  });
}

Transfer WindowIngest::TransferOf(size_t index) const {
  Transfer transfer;
  transfer.offset = blocks_[index].payload_offset;
  transfer.tag = request_.tag + index;
  transfer.deadline = request_.deadline;
  return transfer;
}

// A block's transfer has ended.
void WindowIngest::Count(TransferEnd end, uint64_t bytes) {
  if (request_.on_progress) request_.on_progress();
  parts_.metrics.CountTransfer(window_->plane(), end, end == TransferEnd::kDone ? bytes : 0);
}

absl::Status WindowIngest::TakeIn() {
  TransferEnd end;
  {
    MutexLock lock(mutex_);
    end = *ended_;
    ended_.reset();
  }
  const uint64_t bytes = std::exchange(reading_, 0);
  payload_read_ += bytes;
  const bool block_ends =
      end != TransferEnd::kDone || payload_read_ == blocks_[begun_ - 1].payload_bytes;
  if (block_ends) Count(end, payload_read_);
  stopped_ = end != TransferEnd::kDone;
  return stopped_ ? absl::OkStatus() : session_->Landed(static_cast<uint32_t>(begun_ - 1), bytes);
}

void WindowIngest::Finish() {
  finished_ = true;
  ahead_.clear();
  if (!failed_.ok()) {
    std::exchange(done_, nullptr)(failed_, {});
    return;
  }
  session_->Finish([self = shared_from_this()](std::vector<IngestResult> results) {
    std::exchange(self->done_, nullptr)(absl::OkStatus(), std::move(results));
  });
}

}  // namespace larder::server
