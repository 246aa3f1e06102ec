// The load of the crash harness: what engines and operators do, over a real client, each answer held
// against the ledger.
//
// Chains come in classes. Ordinary chains are contested by all threads, with two versions of their bytes,
// operators' removals and retention. A keeper has the highest priority and few enough blocks that
// nothing may push it out: once acknowledged it must be there. A mortal chain is put once with a TTL and must be
// gone after it. A torn chain is put by calls that give up in the middle.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "tests/fault/crash_blocks.h"
#include "tests/fault/crash_ledger.h"

namespace larder::testing {

inline constexpr uint32_t kChainBlocks = 8;
inline constexpr uint32_t kOrdinaryChains = 64;
inline constexpr uint32_t kKeepers = 24;
inline constexpr uint32_t kKeeperBlocks = 4;
inline constexpr uint32_t kSpaces = 6;

struct CrashCounts {
  std::atomic<uint64_t> puts{0}, stored{0}, conflicts{0}, refused{0}, torn{0};
  std::atomic<uint64_t> gets{0}, hits{0}, misses{0}, leased_hits{0}, survivors{0};
  std::atomic<uint64_t> evictions{0}, expiries{0}, retains{0};
  std::atomic<uint64_t> keepers_acknowledged{0}, keepers_verified{0};
  std::atomic<uint64_t> durable_acknowledged{0}, durable_verified{0}, quarantined{0};
  std::atomic<uint64_t> failed_calls{0};
  std::atomic<int64_t> overrun_ms_max{0};
};

// State that outlives the server's lives.
struct CrashWorld {
  CrashWorld(uint64_t seed, bool durable);

  const std::vector<CrashSpace> spaces = CrashSpaces();
  const uint64_t seed;
  const bool durable;  // the server has an SSD tier, and keepers are put as durable
  // In this life bytes on disk were damaged: a block may be quarantined, and nothing must be there.
  std::atomic<bool> damaged{false};
  // Nothing that was acknowledged must be there any more.
  void ReleaseKeepers();
  Violations violations;
  CrashLedger ledger{violations};
  CrashCounts counts;

  // Held alone by whoever removes a chain and checks that it is gone; shared by everybody else.
  std::array<std::shared_mutex, kSpaces * kOrdinaryChains> chain_locks;

  struct Keeper {
    std::mutex mutex;
    BlockName name;             // of its first block
    uint32_t acknowledged = 0;  // blocks that must be there in this life
    uint32_t life = 0;          // of the server that acknowledged them
    uint32_t durable = 0;       // blocks that must be there in every life
    uint32_t generation = 0;
  };
  std::array<Keeper, kKeepers> keepers;

  struct Mortal {
    BlockName name;
    std::chrono::steady_clock::time_point gone_by;
  };
  std::mutex mortals_mutex;
  std::deque<Mortal> mortals;
  uint32_t next_mortal = 0;
};

// One life of the server: clients, and the work against it. The server may die at any moment: from then on
// `server_gone` is set and calls end early. Thread-safe but for Work and Verify, of which each thread has its
// own call.
class CrashLife {
 public:
  // UNAVAILABLE when the server is not there.
  static absl::StatusOr<std::unique_ptr<CrashLife>> Open(CrashWorld& world,
                                                         const std::string& address);

  // Load until Stop() or until the server is gone. One call per thread.
  void Work(uint64_t seed);
  void Stop() { stop_.store(true); }
  // Says that the server is about to be killed: its calls may fail from now on.
  void ExpectDeath() { dying_.store(true); }
  bool server_gone() const { return gone_.load(); }

  // After a start, before any load: every block that comes back has right bytes, no block is there without its
  // parent, what must be there is. Thread `part` of `parts`.
  void Verify(uint32_t part, uint32_t parts);
  // "ok", "degraded", "offline"; empty when the server does not say.
  std::string SsdHealth();
  // Budgets hold at this moment, and no frame was found damaged where nothing damages any.
  void CheckBudgets();
  // After the load: pins, streams and reservations are back at zero within a bound.
  void CheckQuiet();

 private:
  struct Thread;
  CrashLife(CrashWorld& world, std::unique_ptr<Client> client, std::unique_ptr<AdminClient> admin)
      : world_(world), client_(std::move(client)), admin_(std::move(admin)) {}

  template <typename Call>
  auto Timed(const char* verb, std::chrono::milliseconds timeout, Call&& call);
  void Judge(const char* verb, const absl::Status& status);
  std::vector<GetResult> Get(Thread& thread, const BlockName& first, uint32_t count,
                             const std::string& lease_id);
  // Blocks that are present, and that are durable, from the first on.
  struct Acknowledged {
    uint32_t present = 0;
    uint32_t durable = 0;
  };
  Acknowledged Put(Thread& thread, const BlockName& first, uint32_t count, uint32_t version,
                   const Retention& retention, bool durable = false);
  bool MayMiss(MissReason reason) const;
  void Serve(Thread& thread);
  void HoldColdest(Thread& thread, const BlockName& chain);
  void PutOther(Thread& thread);
  void GetOne(Thread& thread);
  void RemoveAlone(Thread& thread, const BlockName& chain);
  void HeadFirstAlone(Thread& thread, const BlockName& chain);
  void RetainSome(Thread& thread);
  void TendKeeper(Thread& thread);
  void TendMortals(Thread& thread);
  void PutTorn(Thread& thread);
  void CheckKeeper(Thread& thread, CrashWorld::Keeper& keeper);
  void CheckHeads(const BlockName& chain, const std::vector<GetResult>& results);
  bool Live() const { return !stop_.load() && !gone_.load(); }

  CrashWorld& world_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<AdminClient> admin_;
  std::vector<Space> spaces_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> dying_{false};
  std::atomic<bool> gone_{false};
};

}  // namespace larder::testing
