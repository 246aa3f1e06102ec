#include "client/cli/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "client/cli/random.h"
#include "kernels/format/frame.h"
#include "proto/contract/errors.h"
#include "proto/contract/prefix_hash.h"

namespace larder::cli {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::align_val_t kPayloadAlignment{4096};
constexpr auto kDeviceTime = std::chrono::milliseconds(500);

double ProcessCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return time.tv_sec + time.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

Manifest BenchManifest(uint64_t block_bytes) {
  Manifest manifest;
  manifest.model = "larder/bench";
  manifest.weights_digest = "larder-bench";
  manifest.dtype = Dtype::kUint8;
  manifest.block_tokens = BenchOptions().block_tokens;
  manifest.hash_scheme.name = std::string(HashSchemeName(HashSchemeKind::kNative));
  manifest.groups.push_back({.name = "state",
                             .kind = GroupKind::kState,
                             .layers = 1,
                             .unit_bytes = static_cast<uint32_t>(block_bytes)});
  return manifest;
}

void Bench::Free::operator()(std::byte* bytes) const {
  ::operator delete(bytes, kPayloadAlignment);
}

absl::StatusOr<Bench> Bench::Create(BlockStore& store, const BenchOptions& options) {
  if (options.block_bytes == 0 || options.block_bytes > kFrameBytesMax - kFrameHeaderBytesMax) {
    return InvalidField("--block-bytes", std::to_string(options.block_bytes),
                        "1 to " + std::to_string(kFrameBytesMax - kFrameHeaderBytesMax));
  }
  if (options.batch == 0 || options.blocks % options.batch != 0) {
    return InvalidField("--blocks", std::to_string(options.blocks),
                        "a multiple of --batch, " + std::to_string(options.batch));
  }
  const uint64_t blocks_min = uint64_t{options.batch} * options.concurrency;
  if (options.concurrency == 0 || options.blocks < blocks_min) {
    return InvalidField("--blocks", std::to_string(options.blocks),
                        "at least --batch times --concurrency, " + std::to_string(blocks_min));
  }
  std::shared_ptr<std::byte> payload = options.payload;
  const uint64_t bytes = options.blocks * options.block_bytes;
  if (payload == nullptr && options.device != nullptr) {
    payload = options.device->Allocate(bytes);
    if (payload == nullptr) {
      return InvalidField("--blocks", std::to_string(options.blocks),
                          "as many as " + options.device->name() + " has room for");
    }
  } else if (payload == nullptr) {
    payload = {static_cast<std::byte*>(::operator new(bytes, kPayloadAlignment)), Free()};
  }
  return Bench(store, options, std::move(payload));
}

Bench::Bench(BlockStore& store, const BenchOptions& options, std::shared_ptr<std::byte> payload)
    : store_(store), options_(options), payload_(std::move(payload)) {}

std::vector<PrefixHash> Bench::ChainOf(uint64_t number) const {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  std::vector<PrefixHash> chain;
  PrefixHash parent;
  for (uint32_t i = 0; i < options_.batch; ++i) {
    const std::array<uint32_t, 5> tokens = {low(options_.nonce), high(options_.nonce), low(number),
                                            high(number), i};
    parent = NativeHash(parent, tokens);
    chain.push_back(parent);
  }
  return chain;
}

std::span<std::byte> Bench::Payload(size_t chain, size_t index) const {
  const size_t block = chain * options_.batch + index;
  return {payload_.get() + block * options_.block_bytes, options_.block_bytes};
}

std::vector<PutBlock> Bench::PutsOf(size_t chain, const std::vector<PrefixHash>& hashes) const {
  std::vector<PutBlock> puts;
  for (size_t i = 0; i < hashes.size(); ++i) {
    PutBlock block;
    block.hash = hashes[i];
    if (i > 0) block.parent = hashes[i - 1];
    block.token_begin = uint64_t{i} * options_.block_tokens;
    block.raw = std::shared_ptr<const std::byte>(payload_, Payload(chain, i).data());
    block.raw_bytes = options_.block_bytes;
    puts.push_back(std::move(block));
  }
  return puts;
}

absl::Status Bench::Write(uint64_t at, std::span<const std::byte> bytes) const {
  if (options_.device == nullptr) {
    std::memcpy(payload_.get() + at, bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  const auto work = options_.device->Begin();
  if (work == nullptr || !work->CopyIn(payload_.get() + at, bytes)) {
    return DeviceFailed(options_.device->name(), "takes no copy");
  }
  return AwaitDevice(*work);
}

absl::Status Bench::AwaitDevice(DeviceWork& work) const {
  const auto give_up = Steady::now() + options_.call.timeout;
  while (true) {
    const DeviceWork::State state = work.Poll();
    if (state == DeviceWork::State::kDone) return absl::OkStatus();
    if (state == DeviceWork::State::kFailed || Steady::now() > give_up) {
      return DeviceFailed(options_.device->name(), "did not end a copy");
    }
  }
}

absl::StatusOr<double> Bench::MeasureDevice(std::span<std::byte> host) const {
  const Steady::time_point begin = Steady::now();
  const Steady::time_point end = begin + kDeviceTime;
  uint64_t bytes = 0;
  const auto work = options_.device->Begin();
  if (work == nullptr) return DeviceFailed(options_.device->name(), "takes no copy");
  for (size_t chain = 0; Steady::now() < end; chain = (chain + 1) % chains()) {
    for (size_t i = 0; i < options_.batch; ++i) {
      const std::span<std::byte> device = Payload(chain, i);
      const auto there = host.subspan(i * options_.block_bytes, options_.block_bytes);
      const bool queued = options_.op == BenchOp::kPut ? work->CopyOut(there, device.data())
                                                       : work->CopyIn(device.data(), there);
      if (!queued) return DeviceFailed(options_.device->name(), "takes no copy");
    }
    if (absl::Status status = AwaitDevice(*work); !status.ok()) return status;
    bytes += host.size();
  }
  return static_cast<double>(bytes) / std::chrono::duration<double>(Steady::now() - begin).count();
}

void Bench::FillBlock(uint64_t number, std::span<std::byte> block) const {
  if (options_.content != nullptr) {
    return options_.content->Fill(options_.nonce + number,
                                  number % options_.batch * options_.block_tokens, block);
  }
  Random random(options_.nonce + number);
  for (uint64_t at = 0; at < block.size(); at += sizeof(uint64_t)) {
    const uint64_t value = random.Next();
    std::memcpy(block.data() + at, &value, std::min<uint64_t>(sizeof(value), block.size() - at));
  }
}

absl::Status Bench::Prepare(Progress* progress) {
  std::vector<std::byte> block(options_.block_bytes);
  for (uint64_t number = 0; number < options_.blocks; ++number) {
    FillBlock(number, block);
    absl::Status status = Write(number * block.size(), block);
    if (!status.ok()) return status;
  }
  if (options_.op == BenchOp::kPut) return absl::OkStatus();

  for (size_t chain = 0; chain < chains(); ++chain) {
    const auto results = store_.Put(PutsOf(chain, ChainOf(chain)), {options_.call, options_.codec});
    if (!results.ok()) return results.status();
    if (progress != nullptr) progress->Add(options_.batch);
  }
  // A get that writes nothing must not find its bytes here already.
  std::ranges::fill(block, std::byte{});
  for (uint64_t i = 0; options_.op == BenchOp::kGet && i < options_.blocks; ++i) {
    absl::Status status = Write(i * block.size(), block);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

BenchResult Bench::Measure() {
  std::vector<BenchResult> results(options_.concurrency);
  const double cpu_begin = ProcessCpuSeconds();
  const Steady::time_point begin = Steady::now();
  const Steady::time_point end = begin + std::chrono::duration_cast<Steady::duration>(
                                             std::chrono::duration<double>(options_.seconds));
  std::vector<std::thread> threads;
  for (uint32_t t = 1; t < options_.concurrency; ++t) {
    threads.emplace_back([this, t, end, &result = results[t]] { Work(t, end, result); });
  }
  Work(0, end, results[0]);
  for (std::thread& thread : threads) thread.join();

  BenchResult all;
  all.wall_seconds = std::chrono::duration<double>(Steady::now() - begin).count();
  all.client_cpu_seconds = ProcessCpuSeconds() - cpu_begin;
  for (const BenchResult& result : results) {
    all.ops += result.ops;
    all.blocks += result.blocks;
    all.bytes += result.bytes;
    all.misses += result.misses;
    all.errors += result.errors;
    if (!result.last_error.empty()) all.last_error = result.last_error;
    all.latency.Merge(result.latency);
  }
  return all;
}

void Bench::Work(uint32_t worker, Steady::time_point end, BenchResult& result) const {
  size_t slot = worker;
  uint64_t round = 0;
  while (Steady::now() < end) {
    const uint64_t key = options_.op == BenchOp::kPut ? round * chains() + slot : slot;
    const absl::Status status = Operate(key, slot, result);
    if (!status.ok()) {
      ++result.errors;
      result.last_error = std::string(status.message());
      return;
    }
    ++result.ops;
    slot += options_.concurrency;
    if (slot >= chains()) {
      slot = worker;
      ++round;
    }
  }
}

absl::Status Bench::Operate(uint64_t key, size_t slot, BenchResult& result) const {
  const std::vector<PrefixHash> hashes = ChainOf(key);
  uint64_t done = 0;
  const Steady::time_point begin = Steady::now();
  if (options_.op == BenchOp::kLookup) {
    LookupOptions lookup;
    lookup.timeout = options_.call.timeout;
    const auto found = store_.Lookup(hashes, lookup);
    if (!found.ok()) return found.status();
    done = found->blocks.size();
  } else if (options_.op == BenchOp::kGet) {
    GetOptions get;
    get.timeout = options_.call.timeout;
    std::vector<GetBlock> wanted;
    for (size_t i = 0; i < hashes.size(); ++i) {
      wanted.push_back({hashes[i], options_.view ? std::span<std::byte>() : Payload(slot, i)});
    }
    const auto results = store_.Get(wanted, get);
    if (!results.ok()) return results.status();
    for (const GetResult& got : *results) done += got.hit && got.raw_bytes == options_.block_bytes;
  } else {
    const auto results = store_.Put(PutsOf(slot, hashes), {options_.call, options_.codec});
    if (!results.ok()) return results.status();
    for (const PutResult& put : *results) done += put.outcome == PutOutcome::kStored;
  }
  result.latency.Record(Steady::now() - begin);
  result.blocks += done;
  result.misses += hashes.size() - done;
  if (options_.op != BenchOp::kLookup) result.bytes += done * options_.block_bytes;
  return absl::OkStatus();
}

}  // namespace larder::cli
