// The messages of a peer: what is sent, and what is done with what arrives.
#include <algorithm>
#include <cstring>
#include <utility>

#include "transport/ucx_peer.h"
#include "transport/ucx_transfer_internal.h"

namespace larder::transport {
namespace {

// Larger pieces go by rendezvous: UCX copies smaller ones faster than it asks for them.
constexpr uint64_t kRendezvousBytes = 32 << 10;
// What a client answers at most at the same time, in units of a peer's bound: a server never asks for more.
constexpr uint64_t kAnswersFactor = 4;

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
    const UcxPull head{transfer->tag, transfer->number, transfer->offset + offset, bytes};
    SendHead(kUcxPull, &head, sizeof(head));
    return;
  }
  auto piece = std::make_unique<Piece>();
  *piece = {shared_from_this(), transfer, offset, bytes, Slice(transfer->spans, offset, bytes)};
  piece->head.push = {transfer->tag, offset, transfer->bytes};
  Send(std::move(piece), kUcxPush, sizeof(UcxPush));
}

void UcxPeer::SendHead(unsigned message, const void* head, size_t bytes) {
  auto piece = std::make_unique<Piece>();
  piece->peer = shared_from_this();
  std::memcpy(&piece->head, head, std::min(bytes, sizeof(piece->head)));
  Send(std::move(piece), message, bytes);
}

void UcxPeer::Send(std::unique_ptr<Piece> piece, unsigned message, size_t head_bytes) {
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_AM_SEND_FLAG_REPLY;
  if (piece->bytes >= kRendezvousBytes) param.flags |= UCP_AM_SEND_FLAG_RNDV;
  param.user_data = piece.get();
  param.cb.send = [](void* request, ucs_status_t status, void* user) {
    const std::unique_ptr<Piece> ended(static_cast<Piece*>(user));
    ucp_request_free(request);
    ended->peer->OnPieceEnd(*ended, status);
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
  const ucs_status_ptr_t request =
      ucp_am_send_nbx(endpoint_, message, &piece->head, head_bytes, buffer, count, &param);
  if (UCS_PTR_IS_PTR(request)) {
    [[maybe_unused]] Piece* const kept_by_callback = piece.release();
  } else {
    OnPieceEnd(*piece, UCS_PTR_STATUS(request));
  }
}

ucs_status_t UcxPeer::Receive(std::unique_ptr<Piece> piece, void* bytes, bool rendezvous) {
  if (!rendezvous) {
    const std::byte* from = static_cast<const std::byte*>(bytes);
    for (const ucp_dt_iov_t& part : piece->parts) {
      std::memcpy(part.buffer, from, part.length);
      from += part.length;
    }
    OnPieceEnd(*piece, UCS_OK);
    return UCS_OK;
  }
  void* buffer = piece->parts[0].buffer;
  if (piece->transfer->kind == Kind::kPull) {
    piece->landing = landing_->Take();
    if (piece->landing == nullptr) {
      OnPieceEnd(*piece, UCS_ERR_NO_MEMORY);
      return UCS_OK;  // UCX drops the bytes
    }
    landing_here_.insert(piece->landing);
    buffer = piece->landing;
  }
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_DATATYPE;
  const bool one = piece->parts.size() == 1 || piece->landing != nullptr;
  param.datatype = one ? ucp_dt_make_contig(1) : ucp_dt_make_iov();
  param.user_data = piece.get();
  param.cb.recv_am = [](void* request, ucs_status_t status, size_t, void* user) {
    const std::unique_ptr<Piece> ended(static_cast<Piece*>(user));
    ucp_request_free(request);
    ended->peer->OnPieceEnd(*ended, status);
  };
  const ucs_status_ptr_t request =
      one ? ucp_am_recv_data_nbx(worker_, bytes, buffer, piece->bytes, &param)
          : ucp_am_recv_data_nbx(worker_, bytes, piece->parts.data(), piece->parts.size(), &param);
  if (UCS_PTR_IS_PTR(request)) {
    [[maybe_unused]] Piece* const kept_by_callback = piece.release();
  } else {
    OnPieceEnd(*piece, UCS_PTR_STATUS(request));
  }
  return UCS_INPROGRESS;
}

void UcxPeer::TakeLanded(const Piece& piece, ucs_status_t status) {
  landing_here_.erase(piece.landing);
  if (status != UCS_OK) {
    UcxLanding::Abandon(piece.landing);
    return;
  }
  bool wanted;
  {
    std::lock_guard lock(mutex_);
    wanted = !piece.transfer->finished;  // and can not be by others, as long as it is under way
  }
  const std::byte* from = piece.landing;
  for (const ucp_dt_iov_t& part : piece.parts) {
    if (wanted) std::memcpy(part.buffer, from, part.length);
    from += part.length;
  }
  landing_->GiveBack(piece.landing);
}

void UcxPeer::OnPieceEnd(const Piece& piece, ucs_status_t status) {
  if (piece.landing != nullptr) TakeLanded(piece, status);
  if (piece.transfer == nullptr) {
    if (status != UCS_OK) Close();
    return;
  }
  const TransferPtr& transfer = piece.transfer;
  moved_at_ = std::chrono::steady_clock::now();
  if (const uint64_t prefix = Moved(piece, status); prefix > 0 && transfer->progress) {
    transfer->progress(prefix, transfer->block_bytes);
  }
  Ended ended;
  {
    std::lock_guard lock(mutex_);
    --transfer->under_way;  // not before its progress was told: that touches the target's owner
    if (transfer->end.has_value()) {
      if (transfer->under_way == 0) ended = FinishLocked(transfer);
    } else if (status != UCS_OK) {
      ended = EndLocked(transfer, UcxEnd::kPeerGone);
    } else if (transfer->kind != Kind::kOffer && transfer->complete()) {
      ended = EndLocked(transfer, UcxEnd::kDone);
    }
  }
  ended.Tell();
  if (status != UCS_OK) Close();
  Pump();
}

// Counts the piece; what is there without a gap from the start when that became more, else 0.
uint64_t UcxPeer::Moved(const Piece& piece, ucs_status_t status) {
  Transfer& transfer = *piece.transfer;
  std::lock_guard lock(mutex_);
  if (transfer.kind != Kind::kExpect) bytes_under_way_ -= piece.bytes;
  if (status != UCS_OK || transfer.finished) return 0;
  transfer.moved += piece.bytes;
  transfer.islands[piece.offset] = piece.bytes;
  const uint64_t before = transfer.prefix;
  for (auto it = transfer.islands.begin();
       it != transfer.islands.end() && it->first <= transfer.prefix;
       it = transfer.islands.erase(it)) {
    transfer.prefix = std::max(transfer.prefix, it->first + it->second);
  }
  return transfer.prefix > before ? transfer.prefix : 0;
}

ucs_status_t UcxPeer::OnPush(const UcxPush& head, void* bytes, size_t length, bool rendezvous) {
  TransferPtr transfer;
  {
    std::lock_guard lock(mutex_);
    const auto found = tags_.find(head.tag);
    if (found == tags_.end() || found->second->kind != Kind::kExpect) return UCS_OK;
    Transfer& expected = *found->second;
    if (expected.block_bytes == 0) expected.block_bytes = head.block_bytes;
    if (length == 0 || head.block_bytes != expected.block_bytes ||
        head.block_bytes > expected.bytes || head.offset > head.block_bytes ||
        length > head.block_bytes - head.offset) {
      return UCS_OK;
    }
    transfer = found->second;
    ++transfer->under_way;
  }
  auto piece = std::make_unique<Piece>();
  *piece = {shared_from_this(), transfer, head.offset, length,
            Slice(transfer->spans, head.offset, length)};
  return Receive(std::move(piece), bytes, rendezvous);
}

void UcxPeer::OnPull(const UcxPull& head) {
  auto piece = std::make_unique<Piece>();
  piece->peer = shared_from_this();
  piece->head.answer = {head.pull, head.offset};
  {
    std::lock_guard lock(mutex_);
    const auto found = tags_.find(head.tag);
    if (found != tags_.end() && found->second->kind == Kind::kOffer) {
      const Transfer& offer = *found->second;
      const uint64_t offset = head.offset - offer.offset;  // a smaller one wraps to beyond the end
      if (head.bytes <= kUcxPieceBytes && offset <= offer.bytes &&
          head.bytes <= offer.bytes - offset &&
          bytes_under_way_ + head.bytes <= limits_.bytes_max * kAnswersFactor) {
        piece->transfer = found->second;
        piece->offset = offset;
        piece->bytes = head.bytes;
        ++piece->transfer->under_way;
        BeginBytes(head.bytes);
      }
    }
  }
  if (piece->transfer != nullptr) {
    piece->parts = Slice(piece->transfer->spans, piece->offset, piece->bytes);
  }
  Send(std::move(piece), kUcxAnswer, sizeof(UcxAnswer));
}

ucs_status_t UcxPeer::OnAnswer(const UcxAnswer& head, void* bytes, size_t length, bool rendezvous) {
  TransferPtr transfer;
  Ended ended;
  uint64_t offset = 0;
  {
    std::lock_guard lock(mutex_);
    const auto found = transfers_.find(head.pull);
    if (found == transfers_.end() || found->second->kind != Kind::kPull) return UCS_OK;
    offset = head.offset - found->second->offset;
    const auto asked = found->second->asked.find(offset);
    if (asked == found->second->asked.end()) return UCS_OK;
    if (asked->second != length) {
      ended = EndLocked(found->second, UcxEnd::kFailed);
    } else {
      transfer = found->second;
      transfer->asked.erase(asked);
      ++transfer->under_way;
    }
  }
  ended.Tell();
  if (transfer == nullptr) return UCS_OK;
  auto piece = std::make_unique<Piece>();
  *piece = {shared_from_this(), transfer, offset, length, Slice(transfer->spans, offset, length)};
  return Receive(std::move(piece), bytes, rendezvous);
}

}  // namespace larder::transport
