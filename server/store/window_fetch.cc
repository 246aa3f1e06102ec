#include "server/store/window_fetch.h"

#include <algorithm>

#include "server/base/check.h"

namespace larder::server {
namespace {

MissReason ReasonOf(TransferEnd end) {
  return end == TransferEnd::kOverDeadline ? MissReason::kOverDeadline : MissReason::kBusy;
}

}  // namespace

std::shared_ptr<WindowFetch> WindowFetch::Create(const WindowParts& parts,
                                                 std::shared_ptr<Window> window,
                                                 std::unique_ptr<FetchSession> session,
                                                 Request request) {
  LARDER_CHECK(session->left() == request.targets.size());
  return std::shared_ptr<WindowFetch>(
      new WindowFetch(parts, std::move(window), std::move(session), std::move(request)));
}

void WindowFetch::Start(Done done) {
  done_ = std::move(done);
  uint64_t bytes = 0;
  for (const Target& target : request_.targets) bytes += std::min(target.bytes, kAtOnceBytes + 1);
  LARDER_CHECK(turns_.Wake());
  TakeTurn(bytes <= kAtOnceBytes);
}

void WindowFetch::Wake() {
  if (turns_.Wake()) TakeTurn(false);
}

// No byte is copied or verified in a turn: a change of threads would cost more than it.
bool WindowFetch::IsQuick() const { return window_->transfers_max() > 1 && !session_->verifies(); }

void WindowFetch::TakeTurn(bool small) {
  if (small || IsQuick()) {
    Run();
  } else {
    parts_.pool.Post(window_.get(), [self = shared_from_this()] { self->Run(); });
  }
}

void WindowFetch::Run() {
  const auto self = shared_from_this();  // the last turn's `done` may let go of this
  if (!turns_.Run([this] { return Work(); })) {
    parts_.pool.Post(window_.get(), [self] { self->Run(); });
  }
}

// One turn: as many blocks as may run, then at most one more before others get the thread.
bool WindowFetch::Work() {
  int answered = 0;
  Collect();
  while (next_ < outcomes_.size() && running_ < window_->transfers_max()) {
    std::optional<FetchAnswer> answer;
    {
      MutexLock lock(mutex_);
      answer.swap(answer_);
    }
    if (answer) {
      asked_ = false;
      Answer(*std::move(answer));
      Collect();
      if (++answered == kTurnBlocks || (!IsQuick() && parts_.pool.contended())) return false;
    } else if (cancelled_.load(std::memory_order_relaxed) && !asked_) {
      Miss({.miss_reason = MissReason::kOverDeadline});
    } else if (asked_) {
      return true;  // its answer wakes us
    } else {
      Ask();
    }
  }
  if (next_ == outcomes_.size() && running_ == 0 && done_) {
    const Done done = std::exchange(done_, nullptr);
    done(std::move(outcomes_));
    outcomes_.clear();
    next_ = 0;
  }
  return true;
}

void WindowFetch::Ask() {
  asked_ = true;
  session_->Next([self = shared_from_this()](FetchAnswer answer) {
    {
      MutexLock lock(self->mutex_);
      self->answer_ = std::move(answer);
    }
    self->Wake();
  });
}

void WindowFetch::Answer(FetchAnswer answer) {
  if (const auto* reason = std::get_if<MissReason>(&answer)) {
    const Outcome miss{.miss_reason = *reason};
    Miss(miss);
    while (request_.prefix && next_ < outcomes_.size()) Miss(miss);
    return;
  }
  auto frame = std::make_shared<PinnedFrame>(std::get<PinnedFrame>(std::move(answer)));
  const uint64_t frame_bytes = frame->residency.frame_bytes;
  if (frame_bytes > request_.targets[next_].bytes) {
    Miss({.too_large = true, .frame_bytes = frame_bytes});
    return;
  }
  const size_t index = next_++;
  outcomes_[index].frame_bytes = frame_bytes;
  ++running_;
  window_->Write(TransferOf(index), frame->spans,
                 [self = shared_from_this(), index, frame](TransferEnd end) {
                   self->parts_.metrics.CountTransfer(
                       self->window_->plane(), end,
                       end == TransferEnd::kDone ? frame->residency.frame_bytes : 0);
                   {
                     MutexLock lock(self->mutex_);
                     self->ended_.emplace_back(index, end);
                   }
                   self->Wake();
                 });
}

void WindowFetch::Miss(const Outcome& outcome) {
  window_->Skip(TransferOf(next_));
  outcomes_[next_++] = outcome;
}

// Takes in what has ended.
void WindowFetch::Collect() {
  std::vector<std::pair<size_t, TransferEnd>> ended;
  {
    MutexLock lock(mutex_);
    ended.swap(ended_);
  }
  if (!ended.empty() && request_.on_progress) request_.on_progress();
  for (const auto& [index, end] : ended) {
    --running_;
    Outcome& outcome = outcomes_[index];
    outcome.hit = end == TransferEnd::kDone;
    if (outcome.hit) continue;
    outcome.frame_bytes = 0;
    outcome.miss_reason = ReasonOf(end);
  }
}

Transfer WindowFetch::TransferOf(size_t index) const {
  Transfer transfer;
  transfer.offset = request_.targets[index].offset;
  transfer.tag = request_.tag + index;
  if (request_.progress_offset) {
    transfer.progress_offset = *request_.progress_offset + index * sizeof(ProgressSlot);
  }
  transfer.deadline = request_.deadline;
  transfer.to_caches = request_.to_caches;
  return transfer;
}

}  // namespace larder::server
