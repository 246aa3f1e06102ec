#include "server/policy/tenant_order.h"

#include <algorithm>
#include <utility>

#include "server/base/check.h"

namespace larder::server {
namespace {

// Below the priority's 7 bits. 2^56 uses each way: 2,000 years at a million a second.
constexpr int kStampBits = 57;
constexpr uint64_t kStampMiddle = uint64_t{1} << (kStampBits - 1);

}  // namespace

TenantOrder::TenantOrder(size_t blocks_max, const EvictionOrderFactory& factory,
                         const std::vector<TenantLimits>& limits, BytesOf bytes_of)
    : links_(blocks_max),
      next_(1 + limits.size()),
      bytes_of_(std::move(bytes_of)),
      stamps_(limits.empty() ? 0 : blocks_max),
      newest_(kStampMiddle),
      oldest_(kStampMiddle) {
  LARDER_CHECK(limits.size() < kAccountsMax);
  accounts_.reserve(1 + limits.size());
  accounts_.push_back({PriorityOrder(links_, factory), {}});
  for (const TenantLimits& of : limits) accounts_.push_back({PriorityOrder(links_, factory), of});
}

void TenantOrder::Stamp(BlockRef block, uint64_t stamp) {
  if (accounts_.size() > 1) stamps_[block] = stamp;
}

void TenantOrder::Insert(BlockRef block, uint64_t fingerprint, uint8_t priority,
                         AccountRef account) {
  LARDER_CHECK(account < accounts_.size());
  links_[block].account = account;
  Of(block).order.Insert(block, fingerprint, priority);
  Of(block).used_bytes += bytes_of_(block);
  Stamp(block, ++newest_);
  Changed(block);
}

void TenantOrder::Touch(BlockRef block) {
  Of(block).order.Touch(block);
  Stamp(block, ++newest_);
  Changed(block);
}

void TenantOrder::SetPriority(BlockRef block, uint64_t fingerprint, uint8_t priority) {
  if (this->priority(block) == priority) return;
  Of(block).order.SetPriority(block, fingerprint, priority);
  if (!parked(block)) Stamp(block, ++newest_);
  Changed(block);
}

void TenantOrder::Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint) {
  Account& account = Of(block);
  account.order.Remove(block, evicted_fingerprint);
  LARDER_CHECK(account.used_bytes >= bytes_of_(block));
  account.used_bytes -= bytes_of_(block);
  Changed(block);
}

void TenantOrder::Park(BlockRef block) {
  Of(block).order.Park(block);
  Stamp(block, --oldest_);  // what it will be again, unless it is touched before
  Changed(block);
}

void TenantOrder::Unpark(BlockRef block) {
  if (!parked(block)) return;
  Of(block).order.Unpark(block);
  // Both a block that waited longer and a touched one take their place as of now, as in its order.
  Stamp(block, accounts_.size() > 1 && stamps_[block] >= kStampMiddle ? ++newest_ : --oldest_);
  Changed(block);
}

void TenantOrder::Assign(BlockRef block, AccountRef account) {
  LARDER_CHECK(account < accounts_.size());
  if (links_[block].account == account) return;
  const bool ordered = !parked(block);
  const uint64_t bytes = bytes_of_(block);
  Account& from = Of(block);
  LARDER_CHECK(from.used_bytes >= bytes);
  if (ordered) from.order.Park(block);
  from.used_bytes -= bytes;
  Changed(block);
  links_[block].account = account;
  Account& to = Of(block);
  to.used_bytes += bytes;
  if (ordered) to.order.Unpark(block);
  Changed(block);
}

void TenantOrder::Resized(BlockRef block, uint64_t bytes_before) {
  uint64_t& used = Of(block).used_bytes;
  LARDER_CHECK(used >= bytes_before);
  used = used - bytes_before + bytes_of_(block);
  Changed(block);
}

bool TenantOrder::Exceeds(AccountRef account, uint64_t bytes) const {
  const Account& of = accounts_[account];
  return bytes > of.limits.quota_bytes || of.used_bytes > of.limits.quota_bytes - bytes;
}

const TenantOrder::Next& TenantOrder::NextOf(AccountRef account) {
  Next& next = next_[account];
  if (next.fresh) return next;
  Account& of = accounts_[account];
  next = {.block = of.order.Coldest(), .fresh = true};
  if (next.block == kNoBlock) return next;
  const uint64_t reserve = of.limits.reserve_bytes;
  next.rank = uint64_t{of.order.priority(next.block)} << kStampBits | stamps_[next.block];
  next.bytes = bytes_of_(next.block);
  next.spare_bytes = of.used_bytes > reserve ? of.used_bytes - reserve : 0;
  return next;
}

BlockRef TenantOrder::Choose(bool keep_reserves) {
  if (accounts_.size() == 1) return accounts_[0].order.Coldest();
  const Next* coldest = nullptr;
  for (size_t account = 0; account < accounts_.size(); ++account) {
    const Next& next = NextOf(static_cast<AccountRef>(account));
    if (next.block == kNoBlock || (keep_reserves && next.bytes > next.spare_bytes)) continue;
    if (coldest == nullptr || next.rank < coldest->rank) coldest = &next;
  }
  return coldest == nullptr ? kNoBlock : coldest->block;
}

BlockRef TenantOrder::Coldest(AccountRef account) {
  const BlockRef block = Choose(/*keep_reserves=*/true);
  return block != kNoBlock ? block : ColdestOf(account);
}

BlockRef TenantOrder::ColdestOfAll() { return Choose(/*keep_reserves=*/false); }

bool TenantOrder::MayHaveBelow(uint8_t priority) const {
  return std::any_of(accounts_.begin(), accounts_.end(), [&](const Account& account) {
    return account.order.MayHaveBelow(priority);
  });
}

BlockRef TenantOrder::ColdestOf(AccountRef account) { return accounts_[account].order.Coldest(); }

void TenantOrder::Prefetch(BlockRef block) const {
  __builtin_prefetch(&links_[block]);
  if (accounts_.size() > 1) __builtin_prefetch(&stamps_[block]);
}

}  // namespace larder::server
