// A client of the plane "ucx" that tests stop and kill: connects, expects blocks under tags 1.. and offers some under
// tags 1001.., says "ready" and waits for its end.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <vector>

#include "transport/ucx_worker.h"

int main(int argc, char** argv) {
  using namespace larder::transport;
  if (argc != 4) return 2;
  const int blocks = std::atoi(argv[2]);
  const size_t block_bytes = std::atoll(argv[3]);
  auto worker = UcxWorker::Start({}).value();
  UcxHello hello;
  hello.window_id[0] = 'w';
  std::promise<std::shared_ptr<UcxPeer>> connected;
  worker->Connect(argv[1], hello, std::chrono::steady_clock::now() + std::chrono::seconds(5),
                  nullptr, [&](auto peer) { connected.set_value(peer.value()); });
  const auto peer = connected.get_future().get();
  std::vector<std::vector<std::byte>> memory(2 * blocks, std::vector<std::byte>(block_bytes));
  for (int i = 0; i < blocks; ++i) {
    peer->Expect(1 + i, memory[i].size(), ArriveIn(memory[i]), [](UcxEnd) {});
    peer->Offer(1001 + i, 0, {memory[blocks + i]}, [](UcxEnd) {});
  }
  std::puts("ready");
  std::fflush(stdout);
  while (true) pause();
}
