// Blocks between two hosts, over UCX and inline: two network namespaces, joined by a veth pair with a rate and a loss,
// or by a link that also delays (host_link.h). Needs root and skips without it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/integration/child_process.h"
#include "tests/integration/host_link.h"

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
                       "10.213.0.1:0", "lds", bytes, count});
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

// 10 ms each way, one packet in a hundred lost each way.
HostLink::Options FarAway() { return {.delay = std::chrono::milliseconds(10), .loss_percent = 1}; }

TEST(UcxHostsTest, BlocksCrossALinkThatDelaysAndLoses) {
  HostLink link;
  if (!link.Open(FarAway())) GTEST_SKIP() << HostLink::why_not();
  const std::vector<std::string> load = {std::to_string(256 << 10), "6"};
  const auto host = [&](HostLink::Side side, const char* verb, const std::string& address) {
    return link.On(side, {UCX_HOST_PATH, verb, address, HostLink::kDevice, load[0], load[1]});
  };
  ChildProcess server(
      host(HostLink::kServer, "serve", std::string(HostLink::kServerAddress) + ":7742"));
  const std::string address = server.ReadLine(20s).value_or("");
  ASSERT_NE(address, "");
  ChildProcess client(host(HostLink::kClient, "fetch", address));
  EXPECT_TRUE(client.ReadLine(90s).value_or("").starts_with("6 "));
  EXPECT_EQ(server.ReadLine(90s).value_or(""), "6");
  EXPECT_GT(link.lost(), 0u);
}

// A whole server there and the command line here.
class FarServer {
 public:
  explicit FarServer(const HostLink& link)
      : link_(link),
        server_(link.On(HostLink::kServer,
                        {LARDERD_PATH, "--listen", std::string(HostLink::kServerAddress) + ":0",
                         "--metrics-listen", "127.0.0.1:0", "--log-level", "error"})) {
    const auto ready = Json(server_.ReadLine(30s).value_or(""));
    if (ready.is_object()) address_ = ready.value("listen", "");
  }
  bool serves() const { return !address_.empty(); }
  bool Answers() const {
    ChildProcess client(
        link_.On(HostLink::kClient, {LARDER_PATH, "--address", address_, "--plane", "inline",
                                     "--timeout-ms", "20000", "ping", "--count", "1"}));
    return client.WaitExit(60s) == 0;
  }
  // The summary of a replay; every call of it has `timeout_ms`. No object when it could not begin.
  nlohmann::json Replay(int timeout_ms, const std::string& trace, int block_tokens) const {
    ChildProcess client(link_.On(
        HostLink::kClient,
        {LARDER_PATH, "--address", address_, "--plane", "inline", "--timeout-ms",
         std::to_string(timeout_ms), "replay", "--trace", trace, "--verify", "--json", "-",
         "--block-tokens", std::to_string(block_tokens)}));
    std::string text;
    while (const auto line = client.ReadLine(120s)) text += *line;
    return Json(text);
  }

 private:
  static nlohmann::json Json(const std::string& text) {
    return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  }
  const HostLink& link_;
  ChildProcess server_;
  std::string address_;
};

TEST(InlineHostsTest, BlocksCrossALinkThatDelaysAndLosesWithinTheirDeadline) {
  HostLink link;
  if (!link.Open(FarAway())) GTEST_SKIP() << HostLink::why_not();
  const std::string trace = ::testing::TempDir() + "hosts_trace_" + std::to_string(::getpid());
  ASSERT_EQ(std::system((std::string(LARDER_PATH) + " trace generate --requests 12 --out " + trace +
                         " >/dev/null")
                            .c_str()),
            0);
  FarServer server(link);
  ASSERT_TRUE(server.serves());
  const auto patient = server.Replay(30'000, trace, 32);
  ASSERT_TRUE(patient.is_object());
  EXPECT_EQ(patient["errors"], 0) << patient;
  EXPECT_EQ(patient["wrong_blocks"], 0);
  EXPECT_GT(patient["hit_blocks"], 0);
  EXPECT_GT(link.lost(), 0u);
  // What takes longer than it may is given up in time, and is never wrong. (Where a connection takes longer, as
  // when its first packets are lost, the calls get more time.)
  int timeout_ms = 120;
  nlohmann::json hasty = server.Replay(timeout_ms, trace, 1024);
  for (; !hasty.is_object() && timeout_ms < 4000; timeout_ms *= 2) {
    hasty = server.Replay(2 * timeout_ms, trace, 1024);
  }
  ASSERT_TRUE(hasty.is_object());
  EXPECT_EQ(hasty["wrong_blocks"], 0);
  if (timeout_ms == 120) {
    EXPECT_TRUE(hasty["errors"] > 0 || hasty["hit_blocks"] < hasty["ideal_hit_blocks"]) << hasty;
  }
  for (const char* call : {"lookup", "get", "put"}) {
    const auto& latest = hasty["latency_seconds"][call]["p99"];
    if (!latest.is_number()) continue;
    EXPECT_LT(latest.get<double>(), timeout_ms / 1000.0 + 0.5) << call;
    std::printf("calls of %d ms, %s: p99 %.3f s\n", timeout_ms, call, latest.get<double>());
  }
  std::printf("%llu packets carried, %llu lost\n",
              static_cast<unsigned long long>(link.carried()),
              static_cast<unsigned long long>(link.lost()));
}

// A connection takes a round trip at least, however soon a lost one is tried again.
TEST(InlineHostsTest, AServerMoreThanASecondAwayIsReached) {
  HostLink link;
  if (!link.Open({.delay = std::chrono::milliseconds(650)})) GTEST_SKIP() << HostLink::why_not();
  FarServer server(link);
  ASSERT_TRUE(server.serves());
  EXPECT_TRUE(server.Answers());
}

}  // namespace
}  // namespace larder::testing
