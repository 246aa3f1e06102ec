// One host of ucx_hosts_test, run inside its network namespace.
//
//   ucx_test_host serve ADDRESS DEVICE BLOCK_BYTES BLOCKS    pushes blocks to whoever connects and pulls them back;
//                                                            prints its address, then how many came back right
//   ucx_test_host fetch ADDRESS DEVICE BLOCK_BYTES BLOCKS    connects, expects and offers those blocks; prints how many
//                                                            arrived right and the seconds that took
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include "transport/ucx_worker.h"

namespace larder::transport {
namespace {

using namespace std::chrono_literals;

struct Load {
  size_t block_bytes;
  int blocks;

  std::vector<std::byte> Block(int index) const {
    std::vector<std::byte> bytes(block_bytes);
    uint32_t state = index * 2654435761u + 1;
    for (std::byte& byte : bytes) {
      state = state * 1664525u + 1013904223u;
      byte = static_cast<std::byte>(state >> 24);
    }
    return bytes;
  }
};

constexpr uint64_t kPullTags = 1'000'000;
constexpr auto kTransferTimeout = 60s;

UcxTime Deadline() { return std::chrono::steady_clock::now() + kTransferTimeout; }

using Ends = std::vector<std::promise<UcxEnd>>;

UcxPeer::Done EndOf(Ends& ends, int index) {
  return [&ends, index](UcxEnd end) { ends[index].set_value(end); };
}

int Serve(UcxWorker::Options options, const std::string& address, const Load& load) {
  std::promise<std::shared_ptr<UcxPeer>> accepted;
  options.listen = address;
  options.accept = [&](const std::shared_ptr<UcxPeer>& peer, const UcxHello&) {
    accepted.set_value(peer);
    return UcxWorker::Verdict{absl::OkStatus(), nullptr};
  };
  const auto worker = UcxWorker::Start(std::move(options)).value();
  std::printf("%s\n", worker->address().c_str());
  std::fflush(stdout);
  const auto peer = accepted.get_future().get();
  std::vector<std::vector<std::byte>> sources, back(load.blocks);
  Ends pushed(load.blocks), pulled(load.blocks);
  for (int i = 0; i < load.blocks; ++i) {
    sources.push_back(load.Block(i));
    back[i].resize(load.block_bytes);
    peer->Push(i, {sources[i]}, Deadline(), EndOf(pushed, i));
  }
  int good = 0;
  for (int i = 0; i < load.blocks; ++i) {
    if (pushed[i].get_future().get() != UcxEnd::kDone) continue;
    peer->Pull(kPullTags + i, 0, {back[i]}, Deadline(), nullptr, EndOf(pulled, i));
    if (pulled[i].get_future().get() == UcxEnd::kDone && back[i] == sources[i]) ++good;
  }
  std::printf("%d\n", good);
  std::fflush(stdout);
  while (true) pause();
}

int Fetch(const UcxWorker::Options& options, const std::string& address, const Load& load) {
  const auto worker = UcxWorker::Start(options).value();
  std::promise<std::shared_ptr<UcxPeer>> connected;
  std::vector<std::vector<std::byte>> memory(load.blocks), offered;
  Ends arrived(load.blocks);
  for (int i = 0; i < load.blocks; ++i) {
    memory[i].resize(load.block_bytes);
    offered.push_back(load.Block(i));
  }
  const auto begin = std::chrono::steady_clock::now();
  worker->Connect(address, {}, begin + 20s, nullptr, [&](auto peer) {
    if (!peer.ok()) {
      std::printf("%s\n", peer.status().ToString().c_str());
      std::fflush(stdout);
      std::_Exit(1);
    }
    // On the worker's thread: before any push can arrive.
    for (int i = 0; i < load.blocks; ++i) {
      (*peer)->Expect(i, memory[i].size(), ArriveIn(memory[i]), EndOf(arrived, i));
      (*peer)->Offer(kPullTags + i, 0, {offered[i]}, [](UcxEnd) {});
    }
    connected.set_value(*peer);
  });
  const auto peer = connected.get_future().get();
  int good = 0;
  for (int i = 0; i < load.blocks; ++i) {
    auto end = arrived[i].get_future();
    if (end.wait_for(kTransferTimeout) == std::future_status::ready && end.get() == UcxEnd::kDone &&
        memory[i] == offered[i]) {
      ++good;
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%d %.3f\n", good, took.count());
  std::fflush(stdout);
  while (true) pause();
}

}  // namespace
}  // namespace larder::transport

int main(int argc, char** argv) {
  using namespace larder::transport;
  if (argc != 6) return 2;
  UcxWorker::Options options;
  options.devices = argv[3];
  const Load load{static_cast<size_t>(std::atoll(argv[4])), std::atoi(argv[5])};
  return std::string(argv[1]) == "serve" ? Serve(options, argv[2], load)
                                         : Fetch(options, argv[2], load);
}
