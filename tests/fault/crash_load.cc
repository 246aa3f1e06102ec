#include "tests/fault/crash_load.h"

#include <algorithm>
#include <span>
#include <thread>
#include <utility>

#include "larder/v1/admin.pb.h"
#include "larder/v1/cache.pb.h"
#include "tests/integration/known_blocks.h"

namespace larder::testing {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kTimeout{3'000};
// Far above what a call may need beyond its deadline on a busy machine, far below "hangs".
constexpr milliseconds kOverrunMax{2'000};
constexpr milliseconds kTornTimeoutMax{4};
constexpr milliseconds kTtl{100};
// A TTL is kept in steps of 100 ms and counts from the moment that the block is published.
constexpr milliseconds kTtlSlack{300};
constexpr milliseconds kQuietWithin{10'000};
constexpr uint32_t kFirstKeeper = 1'000'000;
constexpr uint32_t kFirstMortal = 2'000'000;
constexpr uint32_t kFirstTorn = 3'000'000;
constexpr uint32_t kTornChains = 16;
constexpr uint32_t kPriorityKeeper = 100;
constexpr size_t kMortalsKept = 64;

// A miss that a block which must be there may still meet.
bool IsMomentary(MissReason reason) {
  return reason == MissReason::kBusy || reason == MissReason::kOverDeadline ||
         reason == MissReason::kDraining;
}

std::vector<PrefixHash> HashesOf(const BlockName& first, uint32_t count) {
  std::vector<PrefixHash> hashes;
  for (uint32_t i = 0; i < count; ++i) {
    hashes.push_back(CrashHash(first.chain, first.position + i));
  }
  return hashes;
}

BlockName At(BlockName name, uint32_t position) {
  name.position = position;
  return name;
}

}  // namespace

struct CrashLife::Thread {
  explicit Thread(uint64_t seed) : random(seed) {}
  BlockName OrdinaryChain() {
    return {static_cast<uint32_t>(random() % kSpaces),
            static_cast<uint32_t>(random() % kOrdinaryChains), 0};
  }
  bool OneIn(uint64_t n) { return random() % n == 0; }

  std::mt19937_64 random;
  BlockJudge judge;
  std::vector<std::byte> memory;
};

namespace {

std::shared_mutex& LockOf(CrashWorld& world, const BlockName& chain) {
  return world.chain_locks[chain.space * kOrdinaryChains + chain.chain];
}

}  // namespace

void CrashWorld::ReleaseKeepers() {
  for (Keeper& keeper : keepers) {
    std::lock_guard lock(keeper.mutex);
    keeper.acknowledged = keeper.durable = 0;
  }
}

CrashWorld::CrashWorld(uint64_t seed, bool durable) : seed(seed), durable(durable) {
  for (uint32_t i = 0; i < kKeepers; ++i) keepers[i].name = {i % kSpaces, kFirstKeeper + i, 0};
}

absl::StatusOr<std::unique_ptr<CrashLife>> CrashLife::Open(CrashWorld& world,
                                                           const std::string& address) {
  ClientOptions options;
  options.address = address;
  options.retries_max = 0;  // a dead server is to be noticed at once
  options.jitter_seed = 1;
  // Lives take turns between the streams of gRPC and the window that a client on this host gets.
  if (world.ledger.life() % 2 == 0) options.plane = PlaneChoice::kInline;
  auto client = Client::Connect(options, {kTimeout});
  if (!client.ok()) return client.status();
  auto admin = AdminClient::Connect(options);
  if (!admin.ok()) return admin.status();
  auto life =
      std::unique_ptr<CrashLife>(new CrashLife(world, *std::move(client), *std::move(admin)));
  for (const CrashSpace& space : world.spaces) {
    auto registered = life->client_->Register(space.manifest, space.tenant, {kTimeout});
    if (!registered.ok()) return registered.status();
    life->spaces_.push_back(registered->front());
  }
  return life;
}

// Runs a call, notes how far beyond its deadline it ended, and judges its status.
template <typename Call>
auto CrashLife::Timed(const char* verb, milliseconds timeout, Call&& call) {
  const auto start = steady_clock::now();
  auto result = call();
  const auto overrun =
      std::chrono::duration_cast<milliseconds>(steady_clock::now() - start - timeout);
  int64_t most = world_.counts.overrun_ms_max.load();
  while (overrun.count() > most &&
         !world_.counts.overrun_ms_max.compare_exchange_weak(most, overrun.count())) {
  }
  if (overrun > kOverrunMax) {
    world_.violations.Report(std::string(verb) + " ended " + std::to_string(overrun.count()) +
                             " ms after its deadline");
  }
  if (!result.ok()) Judge(verb, result.status());
  return result;
}

void CrashLife::Judge(const char* verb, const absl::Status& status) {
  ++world_.counts.failed_calls;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      gone_.store(true);
      return;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return;
    default:
      world_.violations.Report(std::string(verb) + " failed with " +
                               std::string(status.ToString()));
  }
}

// Gets blocks first, first + 1, ... and holds every hit against the ledger. Empty when the call failed.
std::vector<GetResult> CrashLife::Get(Thread& thread, const BlockName& first, uint32_t count,
                                      const std::string& lease_id) {
  const Space& space = spaces_[first.space];
  const uint64_t raw_bytes = RawBytesOf(space);
  thread.memory.resize(std::max<size_t>(thread.memory.size(), raw_bytes * count));
  std::vector<GetBlock> wanted;
  for (uint32_t i = 0; i < count; ++i) {
    wanted.push_back({CrashHash(first.chain, first.position + i),
                      std::span(thread.memory).subspan(i * raw_bytes, raw_bytes)});
  }
  GetOptions options;
  options.timeout = kTimeout;
  options.lease_id = lease_id;
  options.keep_frame_header = true;
  auto got = Timed("get", kTimeout, [&] { return client_->Get(space, wanted, options); });
  if (!got.ok()) return {};
  for (uint32_t i = 0; i < count; ++i) {
    const GetResult& result = (*got)[i];
    const BlockName name = At(first, first.position + i);
    ++world_.counts.gets;
    ++(result.hit ? world_.counts.hits : world_.counts.misses);
    world_.counts.quarantined += result.miss_reason == MissReason::kQuarantined;
    if (result.miss_reason == MissReason::kCorrupt ||
        (result.miss_reason == MissReason::kQuarantined && !world_.damaged.load())) {
      world_.violations.Report("damaged bytes (" + std::string(MissReasonName(result.miss_reason)) +
                               ") under " + Text(name) + "; " + world_.ledger.History(name));
    }
    if (!result.hit) continue;
    const auto possible = world_.ledger.Possible(name);
    const bool right = std::any_of(possible.begin(), possible.end(), [&](uint32_t version) {
      return thread.judge.Matches(space, name, version, result, wanted[i].destination);
    });
    if (right) continue;
    world_.violations.Report("wrong bytes: none of " + std::to_string(possible.size()) +
                             " possible versions of " + Text(name) + "; " +
                             world_.ledger.History(name));
  }
  return *std::move(got);
}

// Puts blocks first, first + 1, ... in one call; how many of them are now acknowledged from the first on.
CrashLife::Acknowledged CrashLife::Put(Thread& thread, const BlockName& first, uint32_t count,
                                       uint32_t version, const Retention& retention, bool durable) {
  std::vector<PutBlock> blocks;
  const CrashSpace& plan = world_.spaces[first.space];
  for (uint32_t i = 0; i < count; ++i) {
    const BlockName name = At(first, first.position + i);
    blocks.push_back(CrashBlock(spaces_[first.space], name, version));
    blocks.back().retention = retention;
    world_.ledger.Offer(name, version);
  }
  PutOptions options;
  options.codec = plan.codec;
  if (durable && world_.durable) options.durability = Durability::kSsd;
  const bool torn = first.chain >= kFirstTorn;
  options.timeout = torn ? milliseconds(1 + thread.random() % kTornTimeoutMax.count()) : kTimeout;
  const auto put = Timed("put", options.timeout,
                         [&] { return client_->Put(spaces_[first.space], blocks, options); });
  world_.counts.puts += count;
  Acknowledged acknowledged;
  for (uint32_t i = 0; i < count; ++i) {
    PutOutcome outcome = put.ok() ? (*put)[i].outcome : PutOutcome::kUnspecified;
    // What the deadline cut off: whether it was stored is not said.
    if (torn && outcome == PutOutcome::kIncomplete) outcome = PutOutcome::kUnspecified;
    world_.ledger.Settle(At(first, first.position + i), version, outcome);
    const bool present = outcome == PutOutcome::kStored || outcome == PutOutcome::kAlreadyPresent;
    acknowledged.present += present && acknowledged.present == i;
    if (put.ok() && (*put)[i].durable && acknowledged.durable == i) ++acknowledged.durable;
    world_.counts.stored += outcome == PutOutcome::kStored;
    world_.counts.conflicts += outcome == PutOutcome::kConflict;
    world_.counts.refused += outcome == PutOutcome::kNoRoom || outcome == PutOutcome::kParentAbsent;
  }
  if (torn && !put.ok()) ++world_.counts.torn;
  return acknowledged;
}

// What an engine does: look up with a lease, get what is there, put what is missing.
void CrashLife::Serve(Thread& thread) {
  const BlockName chain = thread.OrdinaryChain();
  std::shared_lock lock(LockOf(world_, chain));
  LookupOptions lookup;
  lookup.timeout = kTimeout;
  lookup.lease_ttl = kTimeout * 4;
  const auto found = Timed("lookup", kTimeout, [&] {
    return client_->Lookup(spaces_[chain.space], HashesOf(chain, kChainBlocks), lookup);
  });
  if (!found.ok()) return;
  const auto resident = static_cast<uint32_t>(found->blocks.size());
  if (resident > 0) {
    if (thread.OneIn(4)) HoldColdest(thread, chain);
    const auto results = Get(thread, chain, resident, found->lease_id);
    for (uint32_t i = 0; i < results.size(); ++i) {
      world_.counts.leased_hits += results[i].hit;
      if (results[i].hit || MayMiss(results[i].miss_reason)) continue;
      world_.violations.Report(
          "a leased block is a miss (" + std::string(MissReasonName(results[i].miss_reason)) +
          "): " + Text(At(chain, i)) + "; " + world_.ledger.History(At(chain, i)));
    }
  }
  if (resident < kChainBlocks && Live()) {
    Put(thread, At(chain, resident), kChainBlocks - resident, thread.OneIn(20) ? 1 : 0, {},
        thread.OneIn(8));
  }
  if (!found->lease_id.empty()) {
    Timed("release", kTimeout, [&] {
      return client_->Release(found->lease_id, {kTimeout});
    }).IgnoreError();  // judged already
  }
}

// Makes a leased chain the first that pressure takes, and waits for that pressure.
void CrashLife::HoldColdest(Thread& thread, const BlockName& chain) {
  Retention retention;
  retention.priority = 0;
  Timed("retain", kTimeout, [&] {
    return client_->Retain(spaces_[chain.space], HashesOf(chain, kChainBlocks), retention,
                           {kTimeout});
  }).IgnoreError();  // judged already
  ++world_.counts.retains;
  std::this_thread::sleep_for(milliseconds(10 + thread.random() % 30));
}

void CrashLife::PutOther(Thread& thread) {
  const BlockName chain = thread.OrdinaryChain();
  std::shared_lock lock(LockOf(world_, chain));
  Put(thread, chain, kChainBlocks, static_cast<uint32_t>(thread.random() % 2), {});
}

void CrashLife::GetOne(Thread& thread) {
  BlockName name = thread.OrdinaryChain();
  name.position = static_cast<uint32_t>(thread.random() % kChainBlocks);
  Get(thread, name, 1, "");
}

// An operator's removal, after which nothing of the chain may be found.
void CrashLife::RemoveAlone(Thread& thread, const BlockName& chain) {
  v1::EvictRequest request;
  request.set_space_id(spaces_[chain.space].id);
  request.add_prefix_hashes(std::string(CrashHash(chain.chain, 0).view()));
  const auto evicted = Timed("evict", kTimeout, [&] { return admin_->Evict(request, {kTimeout}); });
  if (!evicted.ok() || evicted->held_blocks() > 0)
    return;  // the transport may hold one for a moment
  ++world_.counts.evictions;
  for (uint32_t i = 0; i < kChainBlocks; ++i) world_.ledger.Note(At(chain, i), "removed");
  const auto results = Get(thread, chain, kChainBlocks, "");
  for (uint32_t i = 0; i < results.size(); ++i) {
    if (!results[i].hit) continue;
    world_.violations.Report("a block that an operator removed is a hit: " + Text(At(chain, i)) +
                             "; " + world_.ledger.History(At(chain, i)));
  }
}

// With nobody putting the chain, a block is never there when its parent was already gone.
void CrashLife::HeadFirstAlone(Thread& thread, const BlockName& chain) {
  std::vector<GetResult> results;
  for (uint32_t i = 0; i < kChainBlocks && Live(); ++i) {
    auto one = Get(thread, At(chain, i), 1, "");
    if (one.empty()) return;
    results.push_back(std::move(one.front()));
  }
  CheckHeads(chain, results);
}

void CrashLife::CheckHeads(const BlockName& chain, const std::vector<GetResult>& results) {
  if (world_.damaged.load()) return;
  for (size_t i = 1; i < results.size(); ++i) {
    if (!results[i].hit || results[i - 1].hit || IsMomentary(results[i - 1].miss_reason)) continue;
    const auto position = static_cast<uint32_t>(i);
    world_.violations.Report("a block is kept without its parent (" +
                             std::string(MissReasonName(results[i - 1].miss_reason)) +
                             "): " + Text(At(chain, position)) + "; " +
                             world_.ledger.History(At(chain, position)) + "; parent's " +
                             world_.ledger.History(At(chain, position - 1)));
  }
}

void CrashLife::RetainSome(Thread& thread) {
  const BlockName chain = thread.OrdinaryChain();
  std::shared_lock lock(LockOf(world_, chain));
  Retention retention;
  retention.priority = static_cast<uint32_t>(thread.random() % 60);
  retention.priority_duration = milliseconds(100 + thread.random() % 1'000);
  Timed("retain", kTimeout, [&] {
    return client_->Retain(spaces_[chain.space], HashesOf(chain, kChainBlocks), retention,
                           {kTimeout});
  }).IgnoreError();  // judged already
  ++world_.counts.retains;
}

void CrashLife::CheckKeeper(Thread& thread, CrashWorld::Keeper& keeper) {
  const bool same_life = keeper.life == world_.ledger.life();
  const uint32_t bound = same_life ? std::max(keeper.acknowledged, keeper.durable) : keeper.durable;
  if (bound == 0 || world_.damaged.load()) return;
  const auto results = Get(thread, keeper.name, bound, "");
  for (uint32_t i = 0; i < results.size(); ++i) {
    const BlockName name = At(keeper.name, i);
    world_.counts.keepers_verified += results[i].hit;
    world_.counts.durable_verified += results[i].hit && !same_life;
    if (results[i].hit || IsMomentary(results[i].miss_reason)) continue;
    world_.violations.Report("a block that must be there is a miss (" +
                             std::string(MissReasonName(results[i].miss_reason)) +
                             "): " + Text(name) + "; " + world_.ledger.History(name));
  }
}

// Checks a keeper, puts it when it is not known to be there, and now and then replaces it.
void CrashLife::TendKeeper(Thread& thread) {
  CrashWorld::Keeper& keeper = world_.keepers[thread.random() % kKeepers];
  std::unique_lock lock(keeper.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;
  CheckKeeper(thread, keeper);
  if (!Live()) return;
  const bool whole = keeper.acknowledged == kKeeperBlocks && keeper.life == world_.ledger.life();
  if (whole && thread.OneIn(4)) {
    v1::EvictRequest request;
    request.set_space_id(spaces_[keeper.name.space].id);
    request.add_prefix_hashes(std::string(CrashHash(keeper.name.chain, 0).view()));
    keeper.acknowledged = keeper.durable = 0;
    const auto evicted =
        Timed("evict", kTimeout, [&] { return admin_->Evict(request, {kTimeout}); });
    if (!evicted.ok()) return;
    keeper.name.chain += kKeepers;  // a chain that was never put
  }
  const uint32_t wanted = world_.durable ? keeper.durable : keeper.acknowledged;
  if (wanted == kKeeperBlocks && keeper.life == world_.ledger.life()) return;
  Retention retention;
  retention.priority = kPriorityKeeper;
  const Acknowledged now = Put(thread, keeper.name, kKeeperBlocks, 0, retention, true);
  if (keeper.life != world_.ledger.life()) keeper.acknowledged = 0;
  keeper.life = world_.ledger.life();
  keeper.acknowledged = std::max(keeper.acknowledged, now.present);
  keeper.durable = std::max(keeper.durable, now.durable);
  world_.counts.keepers_acknowledged += now.present;
  world_.counts.durable_acknowledged += now.durable;
}

// Puts a chain with a TTL, and looks for one whose TTL is over.
void CrashLife::TendMortals(Thread& thread) {
  Retention retention;
  retention.ttl = kTtl;
  retention.priority = kPriorityKeeper;  // so that only its TTL ends it
  CrashWorld::Mortal mortal;
  std::vector<CrashWorld::Mortal> due;
  {
    std::lock_guard lock(world_.mortals_mutex);
    mortal.name = {world_.next_mortal % kSpaces, kFirstMortal + world_.next_mortal, 0};
    ++world_.next_mortal;
    while (!world_.mortals.empty() && world_.mortals.front().gone_by < steady_clock::now()) {
      due.push_back(world_.mortals.front());
      world_.mortals.pop_front();
    }
  }
  const Acknowledged now = Put(thread, mortal.name, kKeeperBlocks, 0, retention, thread.OneIn(2));
  mortal.gone_by = steady_clock::now() + kTtl + kTtlSlack;
  for (const CrashWorld::Mortal& old : due) {
    for (uint32_t i = 0; i < kKeeperBlocks; ++i) {
      const auto results = Get(thread, At(old.name, i), 1, "");
      if (results.empty()) return;
      ++world_.counts.expiries;
      if (!results[0].hit) continue;
      world_.violations.Report("a block is there after its TTL: " + Text(At(old.name, i)) + "; " +
                               world_.ledger.History(At(old.name, i)));
    }
  }
  std::lock_guard lock(world_.mortals_mutex);
  if (now.present > 0) world_.mortals.push_back(mortal);
  for (const CrashWorld::Mortal& old : due) {
    // Looked for again in later lives.
    if (world_.mortals.size() < kMortalsKept && thread.OneIn(2)) world_.mortals.push_back(old);
  }
}

// A put that gives up in the middle; its blocks are whole or absent.
void CrashLife::PutTorn(Thread& thread) {
  const BlockName chain = {static_cast<uint32_t>(thread.random() % kSpaces),
                           kFirstTorn + static_cast<uint32_t>(thread.random() % kTornChains), 0};
  Put(thread, chain, kChainBlocks, static_cast<uint32_t>(thread.random() % 2), {});
  if (Live()) Get(thread, chain, kChainBlocks, "");
}

void CrashLife::Work(uint64_t seed) {
  Thread thread(seed);
  while (Live()) {
    const uint64_t dice = thread.random() % 100;
    if (dice < 45) {
      Serve(thread);
    } else if (dice < 55) {
      PutOther(thread);
    } else if (dice < 65) {
      GetOne(thread);
    } else if (dice < 72) {
      const BlockName chain = thread.OrdinaryChain();
      std::unique_lock lock(LockOf(world_, chain), std::try_to_lock);
      if (!lock.owns_lock()) continue;
      if (thread.OneIn(2)) {
        RemoveAlone(thread, chain);
      } else {
        HeadFirstAlone(thread, chain);
      }
    } else if (dice < 78) {
      RetainSome(thread);
    } else if (dice < 90) {
      TendKeeper(thread);
    } else if (dice < 95) {
      TendMortals(thread);
    } else {
      PutTorn(thread);
    }
  }
}

void CrashLife::Verify(uint32_t part, uint32_t parts) {
  Thread thread(part);
  for (uint32_t i = part; i < kSpaces * kOrdinaryChains && Live(); i += parts) {
    const BlockName chain = {i % kSpaces, i / kSpaces, 0};
    const auto results = Get(thread, chain, kChainBlocks, "");
    CheckHeads(chain, results);
    const auto hits = static_cast<uint64_t>(
        std::count_if(results.begin(), results.end(), [](const GetResult& r) { return r.hit; }));
    world_.counts.survivors += hits;
    if (hits == 0 || world_.durable) continue;
    world_.violations.Report("a server without a durable tier returns blocks after its start: " +
                             Text(chain));
  }
  for (uint32_t i = part; i < kSpaces * kTornChains && Live(); i += parts) {
    Get(thread, {i % kSpaces, kFirstTorn + i / kSpaces, 0}, kChainBlocks, "");
  }
  for (uint32_t i = part; i < kKeepers && Live(); i += parts) {
    std::lock_guard lock(world_.keepers[i].mutex);
    CheckKeeper(thread, world_.keepers[i]);
  }
}

bool CrashLife::MayMiss(MissReason reason) const {
  return IsMomentary(reason) || (world_.damaged.load() && reason == MissReason::kQuarantined);
}

std::string CrashLife::SsdHealth() {
  const auto stats = admin_->Stats({kTimeout});
  if (!stats.ok()) return "";
  for (const v1::TierStats& tier : stats->tiers()) {
    if (tier.tier() == v1::TIER_SSD) return tier.health();
  }
  return "";
}

void CrashLife::CheckBudgets() {
  const auto stats = admin_->Stats({kTimeout});
  if (!stats.ok()) return;  // the server may be gone; the load notices
  if (stats->quarantined_blocks() > 0) {
    const auto quarantine = admin_->Quarantine({kTimeout});
    if (!quarantine.ok()) return;
    for (const v1::QuarantinedBlock& block : quarantine->blocks()) {
      // A disk may be sick or damaged, the way from HBM damaged; what got to memory was verified.
      const bool may_be = block.tier() == v1::TIER_SSD ||
                          (block.tier() == v1::TIER_HBM && world_.damaged.load());
      if (may_be) continue;
      world_.violations.Report("a frame that nothing damaged is quarantined in tier " +
                               std::to_string(block.tier()) + ": " + block.reason());
    }
  }
  for (const v1::TierStats& tier : stats->tiers()) {
    if (tier.used_bytes() <= tier.budget_bytes()) continue;
    world_.violations.Report("tier " + std::to_string(tier.tier()) + " uses " +
                             std::to_string(tier.used_bytes()) + " of " +
                             std::to_string(tier.budget_bytes()) + " bytes");
  }
}

void CrashLife::CheckQuiet() {
  const auto give_up = steady_clock::now() + kQuietWithin;
  std::string state;
  while (steady_clock::now() < give_up) {
    const auto stats = admin_->Stats({kTimeout});
    if (!stats.ok()) return Judge("stats", stats.status());
    if (stats->pinned_blocks() == 0 && stats->leases() == 0 && stats->put_streams() == 0 &&
        stats->get_streams() == 0 && stats->ingest_bytes_in_flight() == 0) {
      return;
    }
    state = stats->ShortDebugString();
    std::this_thread::sleep_for(milliseconds(10));
  }
  world_.violations.Report("the server does not become quiet after the load: " + state);
}

}  // namespace larder::testing
