// Which block goes next when tenants have quotas and reserves: one PriorityOrder per tenant with
// limits of its own and one for all others together, over the same links.
//
//   quota    most bytes of a tenant's blocks. The caller asks Exceeds() before it adds one, and
//            makes room among the tenant's own blocks: ColdestOf().
//   reserve  bytes that no other tenant's needs ever take: Coldest() passes over a tenant whose
//            next block would leave it with less.
//
// Across tenants the order is that of a single PriorityOrder: the lowest priority first, and within
// it the block that was used longest ago (each order's own next one, for orders other than lru). So
// without a limit in reach, limits change nothing.
//
// Cost  Coldest() looks at one record of 32 bytes per tenant with limits, of at most kAccountsMax,
// and at no block but those that went or changed since: it does not depend on the number of blocks.
// Everything else is O(1) amortised. 12 bytes per block, 8 more once a tenant has limits, committed
// lazily. Calls that need a block in some condition abort when it is in another. Thread-compatible.
//
//   TenantOrder order(blocks_max, factory, {{.quota_bytes = 1 << 30}}, bytes_of);   // account 1
//   while (order.Exceeds(1, bytes)) order.Remove(order.ColdestOf(1), fingerprint);
//   order.Insert(block, fingerprint, kPriorityDefault, /*account=*/1);
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "server/policy/priority_order.h"

namespace larder::server {

// A tenant with limits of its own, dense.
using AccountRef = uint8_t;
// Everybody else; it has neither quota nor reserve.
inline constexpr AccountRef kSharedAccount = 0;
inline constexpr size_t kAccountsMax = 256;  // with the shared one

inline constexpr uint64_t kNoQuota = UINT64_MAX;

struct TenantLimits {
  uint64_t quota_bytes = kNoQuota;
  uint64_t reserve_bytes = 0;

  bool operator==(const TenantLimits&) const = default;
};

class TenantOrder {
 public:
  // What a block's account is charged with while the order has the block, parked or not. Says the
  // same from Insert to Remove, but for Resized.
  using BytesOf = std::function<uint64_t(BlockRef)>;

  // Blocks are numbered below `blocks_max`; `limits` are those of accounts 1, 2, ...
  TenantOrder(size_t blocks_max, const EvictionOrderFactory& factory,
              const std::vector<TenantLimits>& limits, BytesOf bytes_of);
  TenantOrder(const TenantOrder&) = delete;
  TenantOrder& operator=(const TenantOrder&) = delete;

  // As PriorityOrder's; `account` stays the block's until it is removed.
  void Insert(BlockRef block, uint64_t fingerprint, uint8_t priority,
              AccountRef account = kSharedAccount);
  void Touch(BlockRef block);
  void SetPriority(BlockRef block, uint64_t fingerprint, uint8_t priority);
  void Remove(BlockRef block, std::optional<uint64_t> evicted_fingerprint);
  void Park(BlockRef block);
  void Unpark(BlockRef block);
  // The block is `account`'s from now on, with its priority, its last use and whether it is parked: if it is
  // not, as the account's coldest of its priority.
  void Assign(BlockRef block, AccountRef account);

  // The block was charged with `bytes_before`; now its size is another.
  void Resized(BlockRef block, uint64_t bytes_before);
  uint64_t used_bytes(AccountRef account) const { return accounts_[account].used_bytes; }
  // Whether `bytes` more would be over the account's quota.
  bool Exceeds(AccountRef account, uint64_t bytes) const;

  // The next to go for a block of `account`: of those that leave their tenant its reserve, or else
  // of the account's own. kNoBlock when there is neither.
  BlockRef Coldest(AccountRef account);
  // The next to go among the account's own blocks.
  BlockRef ColdestOf(AccountRef account);
  // The next to go whatever the reserves.
  BlockRef ColdestOfAll();
  // As PriorityOrder's, of all accounts.
  bool MayHaveBelow(uint8_t priority) const;

  bool parked(BlockRef block) const { return Of(block).order.parked(block); }
  uint8_t priority(BlockRef block) const { return Of(block).order.priority(block); }
  AccountRef account(BlockRef block) const {
    return static_cast<AccountRef>(links_[block].account);
  }
  // Starts loading what Touch() needs, for a caller that will touch the block soon.
  void Prefetch(BlockRef block) const;

  const TenantLimits& limits(AccountRef account) const { return accounts_[account].limits; }
  size_t accounts() const { return accounts_.size(); }

 private:
  struct Account {
    PriorityOrder order;
    TenantLimits limits;
    uint64_t used_bytes = 0;
  };
  // An account's next block, as far as the choice between accounts needs it.
  struct Next {
    uint64_t rank = 0;         // the lowest goes first: priority, then last use
    uint64_t bytes = 0;        // of the block
    uint64_t spare_bytes = 0;  // beyond the reserve
    BlockRef block = kNoBlock;
    bool fresh = false;
  };
  static_assert(sizeof(Next) == 32);

  Account& Of(BlockRef block) { return accounts_[links_[block].account]; }
  const Account& Of(BlockRef block) const { return accounts_[links_[block].account]; }
  void Changed(BlockRef block) { next_[links_[block].account].fresh = false; }
  void Stamp(BlockRef block, uint64_t stamp);
  const Next& NextOf(AccountRef account);
  // The best of what the accounts offer.
  BlockRef Choose(bool keep_reserves);

  OrderLinks links_;
  std::vector<Account> accounts_;
  std::vector<Next> next_;  // by account
  const BytesOf bytes_of_;
  // Last use, counted in uses of any block; unused while there is only the shared account. Starts in
  // the middle: a block that was next and could not go is colder than all, so it counts down.
  LazyArray<uint64_t> stamps_;
  uint64_t newest_;
  uint64_t oldest_;
};

}  // namespace larder::server
