// Blocks between two hosts over UCX: two network namespaces, joined by a veth pair with a rate and a loss. Needs root and
// skips without it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "tests/integration/child_process.h"

namespace larder::testing {
namespace {

using namespace std::chrono_literals;

// Runs it quietly; whether it succeeded.
bool Do(const std::string& command) {
  return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
}

// Two namespaces, and the link between them.
class Hosts {
 public:
  // Whether this machine lets us.
  bool Make() {
    const std::string pid = std::to_string(::getpid());
    server = "larder-s" + pid;
    client = "larder-c" + pid;
    bool made = ::geteuid() == 0 && Do("ip netns add " + server) && Do("ip netns add " + client) &&
                Do("ip link add lds netns " + server + " type veth peer name ldc netns " + client);
    for (const auto& [space, device, address] :
         {std::tuple{server, "lds", "10.213.0.1"}, std::tuple{client, "ldc", "10.213.0.2"}}) {
      const std::string in = "ip -n " + space;
      made = made && Do(in + " link set lo up") &&
             Do(in + " addr add " + address + "/24 dev " + device) &&
             Do(in + " link set " + device + " up");
    }
    return made && AwaitCarrier(server, "lds") && AwaitCarrier(client, "ldc");
  }
  ~Hosts() {
    Do("ip netns del " + server);
    Do("ip netns del " + client);
  }
  bool LimitRate(const std::string& rate) const {
    return Do("tc -n " + server + " qdisc add dev lds root tbf rate " + rate +
              " burst 256kb latency 50ms");
  }
  // Drops `percent` of what arrives at either side.
  bool LosePercent(int percent) const {
    bool good = true;
    for (const std::string& space : {server, client}) {
      const std::string nft = "ip netns exec " + space + " nft ";
      good = good && Do(nft + "add table inet loss") &&
             Do(nft + "'add chain inet loss in { type filter hook input priority 0 ; }'") &&
             Do(nft + "'add rule inet loss in numgen random mod 100 < " + std::to_string(percent) +
                " drop'");
    }
    return good;
  }

  std::string server, client;

 private:
  // UCX takes only devices that are up, which the kernel tells a moment late.
  static bool AwaitCarrier(const std::string& space, const std::string& device) {
    for (int i = 0; i < 200; ++i) {
      if (Do("ip -n " + space + " link show " + device + " | grep 'state UP'")) return true;
      std::this_thread::sleep_for(25ms);
    }
    return false;
  }
};

struct Crossing {
  int arrived = 0;
  int came_back = 0;
  double seconds = 0;
};

Crossing Cross(const Hosts& hosts, uint64_t block_bytes, int blocks) {
  const std::string bytes = std::to_string(block_bytes), count = std::to_string(blocks);
  ChildProcess server({"/usr/sbin/ip", "netns", "exec", hosts.server, UCX_HOST_PATH, "serve",
                       "10.213.0.1:7742", "lds", bytes, count});
  const std::string address = server.ReadLine(20s).value_or("");
  if (address.empty()) return {};
  ChildProcess client({"/usr/sbin/ip", "netns", "exec", hosts.client, UCX_HOST_PATH, "fetch",
                       address, "ldc", bytes, count});
  Crossing crossing;
  std::istringstream(client.ReadLine(90s).value_or("0 0")) >> crossing.arrived >> crossing.seconds;
  crossing.came_back = std::stoi(server.ReadLine(90s).value_or("0"));
  return crossing;
}

TEST(UcxHostsTest, BlocksCrossALink) {
  Hosts hosts;
  if (!hosts.Make()) GTEST_SKIP() << "needs root and network namespaces";
  const Crossing crossing = Cross(hosts, 4 << 20, 8);
  EXPECT_EQ(crossing.arrived, 8);
  EXPECT_EQ(crossing.came_back, 8);
}

TEST(UcxHostsTest, BlocksCrossALossyLink) {
  Hosts hosts;
  if (!hosts.Make()) GTEST_SKIP() << "needs root and network namespaces";
  if (!hosts.LosePercent(1)) GTEST_SKIP() << "needs nftables";
  const Crossing crossing = Cross(hosts, 1 << 20, 8);
  EXPECT_EQ(crossing.arrived, 8);
  EXPECT_EQ(crossing.came_back, 8);
}

// What compression is for: on a slow link a block of a quarter of the size takes about a quarter of the time.
TEST(UcxHostsTest, ASmallerFrameArrivesSooner) {
  Hosts hosts;
  if (!hosts.Make()) GTEST_SKIP() << "needs root and network namespaces";
  if (!hosts.LimitRate("1gbit")) GTEST_SKIP() << "needs tbf";
  const Crossing raw = Cross(hosts, 16 << 20, 8);
  const Crossing quarter = Cross(hosts, 4 << 20, 8);
  EXPECT_EQ(raw.arrived, 8);
  EXPECT_EQ(quarter.arrived, 8);
  EXPECT_LT(quarter.seconds, raw.seconds);
  std::printf("1 Gbit/s: 8 x 16 MiB %.3f s, 8 x 4 MiB %.3f s, ratio %.2f\n", raw.seconds,
              quarter.seconds, quarter.seconds / raw.seconds);
}

}  // namespace
}  // namespace larder::testing
