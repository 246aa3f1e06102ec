// Two hosts as network namespaces, joined by a link that delays and loses packets: a TUN device in each, and a
// thread that carries packets from one to the other. (netem is not in every kernel.) Needs root.
//
//   HostLink link;
//   if (!link.Open({.delay = 10ms, .loss_percent = 1})) GTEST_SKIP() << link.why_not();
//   ChildProcess server(link.On(HostLink::kServer, {"/path/larderd", ...}));
//
// The server's address is HostLink::kServerAddress. It and the client's lie in 127/8, so that a server which
// listens on loopback alone can be reached; the namespaces route them over the link.
#pragma once

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace larder::testing {

class HostLink {
 public:
  enum Side { kServer = 0, kClient = 1 };
  struct Options {
    std::chrono::microseconds delay{0};  // each way
    int loss_percent = 0;                // of the packets, each way
    uint64_t seed = 1;
  };
  static constexpr const char* kServerAddress = "127.77.0.1";
  static constexpr const char* kDevice = "larder0";

  HostLink() = default;
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;
  ~HostLink() {
    stop_ = true;
    if (carrier_.joinable()) carrier_.join();
    for (const Side side : {kServer, kClient}) {
      if (tun_[side] >= 0) ::close(tun_[side]);
      Do("ip netns del " + Name(side));
    }
  }

  bool Open(const Options& options) {
    options_ = options;
    if (::geteuid() != 0) return false;
    for (const Side side : {kServer, kClient}) {
      if (!OpenSide(side)) return false;
    }
    carrier_ = std::thread([this] { Carry(); });
    return true;
  }
  static const char* why_not() { return "needs root, network namespaces and /dev/net/tun"; }

  // The command, to be run on that host.
  std::vector<std::string> On(Side side, const std::vector<std::string>& command) const {
    std::vector<std::string> words = {"/usr/sbin/ip", "netns", "exec", Name(side)};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  uint64_t carried() const { return carried_; }
  uint64_t lost() const { return lost_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Packet {
    Clock::time_point due;
    std::vector<char> bytes;
  };
  static constexpr size_t kPacketBytesMax = 65536;
  // What is on its way is bounded, as in any link: the rest is lost.
  static constexpr size_t kPacketsMax = 20'000;

  static bool Do(const std::string& command) {
    return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
  }
  static std::string Name(Side side) {
    return (side == kServer ? "larder-link-s" : "larder-link-c") + std::to_string(::getpid());
  }

  bool OpenSide(Side side) {
    const std::string name = Name(side), in = "ip -n " + name;
    const std::string address = side == kServer ? kServerAddress : "127.77.0.2";
    if (!Do("ip netns add " + name)) return false;
    // A thread of its own enters the namespace, opens the device there and ends; the descriptor stays.
    std::thread([this, side, name] { tun_[side] = OpenTun("/run/netns/" + name); }).join();
    const std::string device = std::string(" dev ") + kDevice;
    const std::string local = "ip netns exec " + name + " sysctl -qw net.ipv4.conf." + kDevice +
                              ".route_localnet=1 net.ipv4.conf." + kDevice + ".rp_filter=0";
    return tun_[side] >= 0 && Do(in + " link set lo up") && Do(local) &&
           // lo keeps 127.0.0.1 alone, the rest of 127/8 is free for the link.
           Do(in + " addr del 127.0.0.1/8 dev lo") && Do(in + " addr add 127.0.0.1/32 dev lo") &&
           Do(in + " addr add " + address + "/24" + device) &&
           Do(in + " link set" + device + " mtu 9000 up");
  }

  static int OpenTun(const std::string& space) {
    const int home = ::open(space.c_str(), O_RDONLY | O_CLOEXEC);
    const bool entered = home >= 0 && ::setns(home, CLONE_NEWNET) == 0;
    if (home >= 0) ::close(home);
    if (!entered) return -1;
    const int tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", kDevice);
    if (tun >= 0 && ::ioctl(tun, TUNSETIFF, &request) == 0) return tun;
    if (tun >= 0) ::close(tun);
    return -1;
  }

  void Carry() {
    std::mt19937_64 random(options_.seed);
    std::deque<Packet> under_way[2];  // by the side that they came from
    std::vector<char> packet(kPacketBytesMax);
    while (!stop_) {
      for (const Side from : {kServer, kClient}) {
        ssize_t bytes;
        while ((bytes = ::read(tun_[from], packet.data(), packet.size())) > 0) {
          const bool lose = random() % 100 < static_cast<uint64_t>(options_.loss_percent) ||
                            under_way[from].size() >= kPacketsMax;
          ++(lose ? lost_ : carried_);
          if (lose) continue;
          under_way[from].push_back(
              {Clock::now() + options_.delay, {packet.begin(), packet.begin() + bytes}});
        }
      }
      Deliver(under_way);
    }
  }

  // What is due; then sleeps until the next is, or one arrives.
  void Deliver(std::deque<Packet> (&under_way)[2]) {
    int sleep_ms = 50;
    for (const Side from : {kServer, kClient}) {
      auto& packets = under_way[from];
      const auto now = Clock::now();
      for (; !packets.empty() && packets.front().due <= now; packets.pop_front()) {
        const auto& bytes = packets.front().bytes;
        if (::write(tun_[1 - from], bytes.data(), bytes.size()) < 0) ++lost_;
      }
      if (!packets.empty()) sleep_ms = 1;
    }
    pollfd ready[2] = {{tun_[kServer], POLLIN, 0}, {tun_[kClient], POLLIN, 0}};
    ::poll(ready, 2, sleep_ms);
  }

  Options options_;
  int tun_[2] = {-1, -1};
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> carried_{0}, lost_{0};
  std::thread carrier_;
};

}  // namespace larder::testing
