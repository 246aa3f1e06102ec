// The messages of a peer: what is sent, and what is done with what arrives.
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/copy/block_copy.h"
#include "transport/ucx_peer.h"
#include "transport/ucx_transfer_internal.h"

namespace larder::transport {
namespace {

// Told of and copied in steps that stay in the first-level cache between the two.
constexpr size_t kCachedBytes = 16 << 10;
// What a client answers at most at the same time, in units of a peer's bound: a server never asks for more.
constexpr uint64_t kAnswersFactor = 4;

// Messages without bytes of a block that wait for a side which takes nothing: more than pulls of a server that keeps the
// rules, and answers of calls.
constexpr size_t kHeadsMax = 1024;

// The part of `spans` from `offset` on, `bytes` long, as UCX wants it.
std::vector<ucp_dt_iov_t> Slice(const UcxSpans& spans, uint64_t offset, uint64_t bytes) {
  std::vector<ucp_dt_iov_t> parts;
  for (const auto span : spans) {
    if (bytes == 0) break;
    if (offset >= span.size()) {
      offset -= span.size();
      continue;
    }
    const uint64_t step = std::min<uint64_t>(bytes, span.size() - offset);
    parts.push_back({span.data() + offset, step});
    offset = 0;
    bytes -= step;
  }
  return parts;
}

}  // namespace

void UcxPeer::BeginPiece(const TransferPtr& transfer, uint64_t offset, uint64_t bytes) {
  if (transfer->kind == Kind::kPull) {
    mailbox_->received = true;
    const UcxPull head{transfer->tag, transfer->number, transfer->offset + offset, bytes};
    SendHead(kUcxPull, &head, sizeof(head));
    return;
  }
  auto piece = std::make_unique<Piece>(Piece{kUcxPush, sizeof(UcxPush), transfer, bytes});
  piece->parts = Slice(transfer->spans, offset, bytes);
  piece->head.push = {transfer->tag, offset, transfer->bytes};
  std::lock_guard lock(mutex_);
  queued_.push_back(std::move(piece));
}

void UcxPeer::SendHead(unsigned message, const void* head, size_t bytes) {
  auto piece = std::make_unique<Piece>(Piece{message, bytes});
  std::memcpy(&piece->head, head, std::min(bytes, sizeof(piece->head)));
  heads_.push_back(std::move(piece));
  PumpSoon();
}

void UcxPeer::Tell(std::string text) {
  mailbox_->Post([self = shared_from_this(), text = std::move(text)]() mutable {
    if (self->closing_) return;
    if (self->heads_.size() >= kHeadsMax) return self->CloseNow();
    auto piece = std::make_unique<Piece>(Piece{kUcxText, sizeof(UcxText)});
    piece->text = std::move(text);
    piece->head.text.bytes = piece->text.size();
    piece->parts = {{piece->text.data(), piece->text.size()}};
    self->heads_.push_back(std::move(piece));
    self->Pump();
  });
}

void UcxPeer::PumpSoon() {
  if (std::exchange(pump_due_, true)) return;
  mailbox_->soon.push_back([self = shared_from_this()] {
    self->pump_due_ = false;
    self->Pump();
  });
}

std::unique_ptr<UcxPeer::Piece> UcxPeer::NextQueued() {
  std::unique_ptr<Piece> next;
  if (!heads_.empty()) {
    next = std::move(heads_.front());
    heads_.pop_front();
    return next;
  }
  std::lock_guard lock(mutex_);
  if (queued_.empty()) return nullptr;
  next = std::move(queued_.front());
  queued_.pop_front();
  return next;
}

void UcxPeer::SendQueued() {
  if (std::exchange(sending_, true)) return;
  // One piece of a block, also when UCX has taken it at once: then the thread looks at its other work, and goes on soon.
  bool piece_sent = false;
  while (!closing_ && !broken_ && !piece_sent) {
    std::unique_ptr<Piece> next = NextQueued();
    if (next == nullptr) break;
    piece_sent = next->transfer != nullptr;
    if (!Send(std::move(next))) return;
  }
  sending_ = false;
}

bool UcxPeer::Send(std::unique_ptr<Piece> piece) {
  piece->peer = shared_from_this();
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_AM_SEND_FLAG_REPLY | UCP_AM_SEND_FLAG_EAGER;
  param.user_data = piece.get();
  param.cb.send = [](void* request, ucs_status_t status, void* user) {
    const std::unique_ptr<Piece> ended(static_cast<Piece*>(user));
    ucp_request_free(request);
    ended->peer->sending_ = false;
    ended->peer->OnSent(*ended, status);
  };
  const void* buffer = nullptr;
  size_t count = 0;
  if (piece->parts.size() == 1) {
    buffer = piece->parts[0].buffer;
    count = piece->parts[0].length;
  } else if (!piece->parts.empty()) {
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
    param.datatype = ucp_dt_make_iov();
    buffer = piece->parts.data();
    count = piece->parts.size();
  }
  const ucs_status_ptr_t request = ucp_am_send_nbx(endpoint_, piece->message, &piece->head,
                                                   piece->head_bytes, buffer, count, &param);
  if (UCS_PTR_IS_PTR(request)) {
    [[maybe_unused]] Piece* const kept_by_callback = piece.release();
    return false;
  }
  OnSent(*piece, UCS_PTR_STATUS(request));
  return true;
}

void UcxPeer::OnSent(const Piece& piece, ucs_status_t status) {
  if (status != UCS_OK) Break();
  if (piece.transfer != nullptr) OnPieceEnd(piece.transfer, piece.bytes, status);
  PumpSoon();
}

void UcxPeer::Break() {
  broken_ = true;
  Close();
}

void UcxPeer::OnPieceEnd(const TransferPtr& transfer, uint64_t bytes, ucs_status_t status) {
  moved_at_ = std::chrono::steady_clock::now();
  if (transfer->kind == Kind::kPull || transfer->kind == Kind::kExpect) mailbox_->received = true;
  Ended ended;
  {
    std::lock_guard lock(mutex_);
    if (transfer->kind != Kind::kExpect) bytes_under_way_ -= bytes;
    --transfer->under_way;
    if (transfer->finished) return;  // with the connection
    if (status == UCS_OK) transfer->moved += bytes;
    if (transfer->end.has_value()) {
      if (transfer->under_way == 0) ended = FinishLocked(transfer);
    } else if (status != UCS_OK) {
      ended = EndLocked(transfer, UcxEnd::kPeerGone);
    } else if (transfer->kind != Kind::kOffer && transfer->complete()) {
      ended = EndLocked(transfer, UcxEnd::kDone);
    }
  }
  ended.Tell();
  PumpSoon();
}

void UcxPeer::OnPush(const UcxPush& head, std::span<const std::byte> bytes) {
  TransferPtr transfer;
  Ended ended;
  {
    std::lock_guard lock(mutex_);
    const auto found = tags_.find(head.tag);
    if (found == tags_.end() || found->second->kind != Kind::kExpect) return;
    Transfer& expected = *found->second;
    if (expected.block_bytes == 0) expected.block_bytes = head.block_bytes;
    if (bytes.empty() || head.block_bytes != expected.block_bytes ||
        head.block_bytes > expected.bytes || head.offset != expected.moved ||
        bytes.size() > head.block_bytes - head.offset) {
      ended = EndLocked(found->second, UcxEnd::kFailed);
    } else {
      transfer = found->second;
      ++transfer->under_way;
    }
  }
  ended.Tell();
  if (transfer == nullptr) return;
  transfer->arrive(head.offset, bytes, head.block_bytes);
  OnPieceEnd(transfer, bytes.size(), UCS_OK);
}

void UcxPeer::OnPull(const UcxPull& head) {
  bool queued = false;
  {
    std::lock_guard lock(mutex_);
    const auto found = tags_.find(head.tag);
    queued = found != tags_.end() && found->second->kind == Kind::kOffer &&
             QueueAnswers(found->second, head);
  }
  if (!queued && heads_.size() >= kHeadsMax) {
    Close();
  } else if (!queued) {
    const UcxAnswer none{head.pull, head.offset};
    SendHead(kUcxAnswer, &none, sizeof(none));
  }
  PumpSoon();
}

// False when it asks for what is not offered, or for too much.
bool UcxPeer::QueueAnswers(const TransferPtr& offer, const UcxPull& head) {
  const uint64_t offset = head.offset - offer->offset;  // a smaller one wraps to beyond the end
  if (head.bytes == 0 || head.bytes > kUcxPullBytes || offset > offer->bytes ||
      head.bytes > offer->bytes - offset ||
      bytes_under_way_ + head.bytes > limits_.bytes_max * kAnswersFactor) {
    return false;
  }
  BeginBytes(head.bytes);
  for (uint64_t sent = 0; sent < head.bytes; sent += kUcxMessageBytes) {
    const uint64_t bytes = std::min(kUcxMessageBytes, head.bytes - sent);
    auto piece = std::make_unique<Piece>(Piece{kUcxAnswer, sizeof(UcxAnswer), offer, bytes});
    piece->parts = Slice(offer->spans, offset + sent, bytes);
    piece->head.answer = {head.pull, head.offset + sent};
    queued_.push_back(std::move(piece));
    ++offer->under_way;
  }
  return true;
}

void UcxPeer::OnAnswer(const UcxAnswer& head, std::span<const std::byte> bytes) {
  TransferPtr transfer;
  Ended ended;
  uint64_t offset = 0;
  {
    std::lock_guard lock(mutex_);
    const auto found = transfers_.find(head.pull);
    if (found == transfers_.end() || found->second->kind != Kind::kPull) return;
    offset = head.offset - found->second->offset;
    auto& asked = found->second->asked;
    const auto waits = asked.find(offset);
    if (waits == asked.end()) return;
    // In order: what is told of is what stands there.
    if (bytes.empty() || bytes.size() > waits->second || waits != asked.begin()) {
      ended = EndLocked(found->second, UcxEnd::kFailed);
    } else {
      transfer = found->second;
      if (waits->second > bytes.size()) asked[offset + bytes.size()] = waits->second - bytes.size();
      asked.erase(waits);
      ++transfer->under_way;
    }
  }
  ended.Tell();
  if (transfer == nullptr) return;
  // UCX's shared memory hands over a short message where the other side wrote it, and may write it again.
  const bool perhaps_shared = bytes.size() <= kCachedBytes;
  const std::byte* from = bytes.data();
  for (const ucp_dt_iov_t& part : Slice(transfer->spans, offset, bytes.size())) {
    std::span rest(static_cast<std::byte*>(part.buffer), part.length);
    while (!rest.empty()) {
      const auto step = rest.first(std::min(rest.size(), kCachedBytes));
      if (transfer->landed && !perhaps_shared) transfer->landed({from, step.size()});
      StreamBlock(step.data(), from, step.size());
      if (transfer->landed && perhaps_shared) transfer->landed(step);
      from += step.size();
      rest = rest.subspan(step.size());
    }
  }
  OnPieceEnd(transfer, bytes.size(), UCS_OK);
}

}  // namespace larder::transport
