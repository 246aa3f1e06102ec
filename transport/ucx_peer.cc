#include "transport/ucx_peer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "transport/ucx_transfer_internal.h"

namespace larder::transport {
namespace {

uint64_t Bytes(const UcxSpans& spans) {
  uint64_t bytes = 0;
  for (const auto span : spans) bytes += span.size();
  return bytes;
}

}  // namespace

UcxPeer::UcxPeer(ucp_ep_h endpoint, std::shared_ptr<UcxMailbox> mailbox, const Limits& limits)
    : endpoint_(endpoint), mailbox_(std::move(mailbox)), limits_(limits) {}

UcxPeer::~UcxPeer() = default;

bool UcxPeer::Add(const TransferPtr& transfer, bool has_tag) {
  if (transfer->kind != Kind::kExpect) transfer->bytes = Bytes(transfer->spans);
  std::lock_guard lock(mutex_);
  if (gone_) return false;
  transfer->number = ++number_;
  mailbox_->open.fetch_add(1, std::memory_order_relaxed);
  transfer->timed = !has_tag;
  if (transfer->timed) mailbox_->timed.fetch_add(1, std::memory_order_relaxed);
  transfers_[transfer->number] = transfer;
  if (has_tag) tags_[transfer->tag] = transfer;
  return true;
}

void UcxPeer::Run(const TransferPtr& transfer) {
  if (!Add(transfer, false)) {
    transfer->done(UcxEnd::kPeerGone);
    return;
  }
  mailbox_->Post([self = shared_from_this(), transfer] {
    Ended ended;
    {
      std::lock_guard lock(self->mutex_);
      if (transfer->end.has_value()) return;
      if (transfer->bytes > 0) {
        self->waiting_.push_back(transfer);
      } else {
        ended = self->EndLocked(transfer, UcxEnd::kDone);
      }
    }
    ended.Tell();
    self->Pump();
  });
}

void UcxPeer::Push(uint64_t tag, UcxSpans source, UcxTime deadline, Done done) {
  Run(std::make_shared<Transfer>(
      Transfer{Kind::kPush, tag, std::move(source), std::move(done), deadline, {}}));
}

void UcxPeer::Pull(uint64_t tag, uint64_t offset, UcxSpans target, UcxTime deadline, Landed landed,
                   Done done) {
  const auto transfer = std::make_shared<Transfer>(
      Transfer{Kind::kPull, tag, std::move(target), std::move(done), deadline, {}, offset});
  transfer->landed = std::move(landed);
  Run(transfer);
}

void UcxPeer::Expect(uint64_t tag, uint64_t bytes_max, Arrive arrive, Done done) {
  const auto transfer = std::make_shared<Transfer>(
      Transfer{Kind::kExpect, tag, {}, std::move(done), UcxTime::max(), std::move(arrive)});
  transfer->bytes = bytes_max;
  if (!Add(transfer, true)) transfer->done(UcxEnd::kPeerGone);
}

void UcxPeer::Offer(uint64_t tag, uint64_t offset, UcxSpans source, Done done) {
  const auto transfer = std::make_shared<Transfer>(
      Transfer{Kind::kOffer, tag, std::move(source), std::move(done), UcxTime::max(), {}, offset});
  if (!Add(transfer, true)) transfer->done(UcxEnd::kPeerGone);
}

void UcxPeer::Withdraw(uint64_t tag, UcxTime until) {
  Ended ended;
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    const auto found = tags_.find(tag);
    if (found == tags_.end()) return;
    const TransferPtr transfer = found->second;
    const bool offered = transfer->kind == Kind::kOffer;
    if (!offered && until > std::chrono::steady_clock::now()) {
      transfer->deadline = until;
    } else {
      ended = EndLocked(transfer, offered ? UcxEnd::kDone : UcxEnd::kOverDeadline);
    }
    // From here on it has a deadline: the thread must look at it.
    wake = !transfer->finished && !transfer->timed;
    if (wake) {
      transfer->timed = true;
      mailbox_->timed.fetch_add(1, std::memory_order_relaxed);
    }
  }
  ended.Tell();
  if (wake) mailbox_->Post([] {});
}

void UcxPeer::Close() {
  mailbox_->Post([self = shared_from_this()] { self->CloseNow(); });
}

UcxPeer::Ended UcxPeer::EndLocked(TransferPtr transfer, UcxEnd end) {
  if (transfer->finished || transfer->end.has_value()) return {};
  transfer->end = end;
  transfer->deadline = std::chrono::steady_clock::now() + kUcxGrace;
  const auto found = tags_.find(transfer->tag);
  if (found != tags_.end() && found->second == transfer) tags_.erase(found);
  std::erase(waiting_, transfer);
  for (const auto& piece : queued_) {
    if (piece->transfer != transfer) continue;
    --transfer->under_way;
    bytes_under_way_ -= piece->bytes;
  }
  std::erase_if(queued_, [&](const auto& piece) { return piece->transfer == transfer; });
  // What was asked for and is not answered touches nothing: its answer will find no transfer.
  for (const auto& [offset, bytes] : transfer->asked) bytes_under_way_ -= bytes;
  transfer->asked.clear();
  return transfer->under_way == 0 ? FinishLocked(transfer) : Ended{};
}

UcxPeer::Ended UcxPeer::FinishLocked(TransferPtr transfer) {
  if (transfer->finished) return {};
  transfer->finished = true;
  mailbox_->open.fetch_sub(1, std::memory_order_relaxed);
  if (transfer->timed) mailbox_->timed.fetch_sub(1, std::memory_order_relaxed);
  transfers_.erase(transfer->number);
  return {std::move(transfer->done), *transfer->end, std::move(transfer->landed)};
}

void UcxPeer::BeginBytes(uint64_t bytes) {
  if (bytes_under_way_ == 0) moved_at_ = std::chrono::steady_clock::now();
  bytes_under_way_ += bytes;
}

void UcxPeer::Pump() {
  while (!closing_ && !broken_) {
    TransferPtr transfer;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty() || bytes_under_way_ >= limits_.bytes_max) break;
      transfer = waiting_.front();
      offset = transfer->begun;
      const bool pull = transfer->kind == Kind::kPull;
      bytes = std::min(pull ? kUcxPullBytes : kUcxMessageBytes, transfer->bytes - offset);
      transfer->begun += bytes;
      if (transfer->begun == transfer->bytes) waiting_.pop_front();
      BeginBytes(bytes);
      if (pull) {
        transfer->asked[offset] = bytes;
      } else {
        ++transfer->under_way;
      }
    }
    BeginPiece(transfer, offset, bytes);
  }
  SendQueued();
}

void UcxPeer::Tick(UcxTime now) {
  std::vector<Ended> ended;
  bool overdue = false;
  {
    std::lock_guard lock(mutex_);
    overdue = bytes_under_way_ > 0 && now - moved_at_ > limits_.stall;
    std::vector<TransferPtr> late;
    for (const auto& [number, transfer] : transfers_) {
      if (transfer->deadline <= now) late.push_back(transfer);
    }
    for (const TransferPtr& transfer : late) {
      if (transfer->end.has_value()) {
        overdue = true;  // the grace is over too, and UCX still holds a piece
      } else {
        ended.push_back(EndLocked(transfer, UcxEnd::kOverDeadline));
      }
    }
  }
  for (const Ended& each : ended) each.Tell();
  if (overdue) CloseNow();
  if (!ended.empty()) Pump();
}

void UcxPeer::CloseNow() {
  if (closing_) return;
  closing_ = true;
  mailbox_->closes = true;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  close_request_ = ucp_ep_close_nbx(endpoint_, &param);
}

bool UcxPeer::IsGone() {
  if (UCS_PTR_IS_PTR(close_request_)) {
    if (ucp_request_check_status(close_request_) == UCS_INPROGRESS) return false;
    ucp_request_free(close_request_);
    close_request_ = nullptr;
  }
  std::vector<Ended> ended;
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    waiting_.clear();
    queued_.clear();
    tags_.clear();
    while (!transfers_.empty()) {
      // The endpoint is destroyed, so nothing reads their memory, whether UCX has told so or not.
      const TransferPtr transfer = transfers_.begin()->second;
      if (!transfer->end.has_value()) transfer->end = UcxEnd::kPeerGone;
      ended.push_back(FinishLocked(transfer));
    }
  }
  for (const Ended& each : ended) each.Tell();
  return true;
}

UcxPeer::Arrive ArriveIn(std::span<std::byte> target) {
  return [target](uint64_t offset, std::span<const std::byte> bytes, uint64_t) {
    std::memcpy(target.data() + offset, bytes.data(), bytes.size());
  };
}

}  // namespace larder::transport
