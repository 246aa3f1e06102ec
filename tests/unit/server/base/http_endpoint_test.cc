#include "server/base/http_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/metrics.h"

namespace larder::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Connected to "127.0.0.1:PORT"; -1 when refused. Reads give up after 10 s instead of hanging the
// suite.
int ConnectTo(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  EXPECT_EQ(inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr), 1);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return fd;
  close(fd);
  return -1;
}

// Everything the peer sends until it closes.
std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, n);
  close(fd);
  return text;
}

std::string Exchange(const std::string& address, const std::string& request) {
  const int fd = ConnectTo(address);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL), ssize_t(request.size()));
  return ReadAll(fd);
}

std::string Request(const std::string& address, const std::string& method,
                    const std::string& path) {
  return Exchange(address, method + " " + path + " HTTP/1.1\r\nHost: test\r\n\r\n");
}

std::string BodyOf(const std::string& reply) {
  const size_t end = reply.find("\r\n\r\n");
  return end == std::string::npos ? "" : reply.substr(end + 4);
}

std::unique_ptr<HttpEndpoint> StartOrDie(HttpHandlers handlers) {
  auto endpoint = HttpEndpoint::Start("127.0.0.1:0", std::move(handlers));
  EXPECT_TRUE(endpoint.ok()) << endpoint.status();
  return *std::move(endpoint);
}

HttpHandlers FixedHandlers() {
  return {.metrics = [] { return "m 1\n"; }, .ready = [] { return true; }};
}

TEST(HttpEndpointTest, ReportsThePortItGot) {
  const auto endpoint = StartOrDie(FixedHandlers());
  EXPECT_THAT(endpoint->address(), testing::MatchesRegex("127[.]0[.]0[.]1:[1-9][0-9]*"));
}

TEST(HttpEndpointTest, ServesLocalhostAsItsAddress) {
  const auto endpoint = HttpEndpoint::Start("localhost:0", FixedHandlers());
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_THAT((*endpoint)->address(), StartsWith("127.0.0.1:"));
  EXPECT_EQ(BodyOf(Request((*endpoint)->address(), "GET", "/healthz")), "ok\n");
}

TEST(HttpEndpointTest, ServesAScrapeOfTheMetrics) {
  Metrics metrics;
  metrics.CountRequest(Method::kLookup, 0, 0.001);
  const auto endpoint =
      StartOrDie({.metrics = [&] { return metrics.Scrape(); }, .ready = [] { return true; }});
  const std::string reply = Request(endpoint->address(), "GET", "/metrics");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(reply, HasSubstr("Content-Length: " + std::to_string(BodyOf(reply).size()) + "\r\n"));
  EXPECT_THAT(BodyOf(reply),
              HasSubstr("\nlarder_requests_total{code=\"OK\",method=\"Lookup\"} 1\n"));
}

TEST(HttpEndpointTest, AnswersPathsAndMethods) {
  std::atomic<bool> ready = true;
  const auto endpoint =
      StartOrDie({.metrics = [] { return "m 1\n"; }, .ready = [&] { return ready.load(); }});
  const std::string& address = endpoint->address();
  struct Case {
    std::string method, path, status, body;
  };
  const std::string other = "try /metrics, /healthz or /readyz\n";
  for (const Case& c : std::vector<Case>{
           {"GET", "/metrics", "200 OK", "m 1\n"},
           {"GET", "/metrics?name[]=x", "200 OK", "m 1\n"},
           {"HEAD", "/metrics", "200 OK", ""},
           {"GET", "/healthz", "200 OK", "ok\n"},
           {"GET", "/readyz", "200 OK", "ok\n"},
           {"GET", "/", "404 Not Found", other},
           {"GET", "/metrics/", "404 Not Found", other},
           {"GET", "/healthz/../../etc/passwd", "404 Not Found", other},
           {"HEAD", "/nothing", "404 Not Found", ""},
           {"POST", "/metrics", "405 Method Not Allowed", "only GET and HEAD\n"},
           {"PUT", "/healthz", "405 Method Not Allowed", "only GET and HEAD\n"},
           {"DELETE", "/nothing", "405 Method Not Allowed", "only GET and HEAD\n"},
       }) {
    const std::string reply = Request(address, c.method, c.path);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 " + c.status + "\r\n")) << c.method << " " << c.path;
    EXPECT_EQ(BodyOf(reply), c.body) << c.method << " " << c.path;
  }
  EXPECT_THAT(Request(address, "HEAD", "/metrics"), HasSubstr("Content-Length: 4\r\n"));

  ready = false;
  EXPECT_THAT(Request(address, "GET", "/readyz"),
              AllOf(StartsWith("HTTP/1.1 503 Service Unavailable\r\n"), HasSubstr("draining")));
  EXPECT_THAT(Request(address, "GET", "/healthz"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(HttpEndpointTest, SurvivesHostileRequests) {
  const auto endpoint = StartOrDie(FixedHandlers());
  const std::string& address = endpoint->address();
  for (const std::string& request : std::vector<std::string>{
           "\r\n\r\n", "GET\r\n\r\n", "GET /metrics\r\n\r\n", "NONSENSE / HTTP/1.1\r\n\r\n",
           "GET /metrics HTTP/9.9\r\n\r\n", std::string("\0\0\0\0\r\n\r\n", 8),
           "GET /%00%ff%zz HTTP/1.1\r\n\r\n",
           "GET /" + std::string(2 * kHttpRequestBytesMax, 'a') + " HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\r\nX: " + std::string(2 * kHttpRequestBytesMax, 'a') + "\r\n\r\n"}) {
    EXPECT_THAT(Exchange(address, request), Not(StartsWith("HTTP/1.1 200")));
  }
  EXPECT_EQ(BodyOf(Request(address, "GET", "/healthz")), "ok\n");
}

TEST(HttpEndpointTest, RunsAtMostItsThreadsAtATime) {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::latch all_threads_busy(kHttpThreads);
  const auto endpoint =
      StartOrDie({.metrics =
                      [&] {
                        const int now = ++inside;
                        int seen = most.load();
                        while (now > seen && !most.compare_exchange_weak(seen, now)) {
                        }
                        if (!all_threads_busy.try_wait()) all_threads_busy.arrive_and_wait();
                        --inside;
                        return std::string("m 1\n");
                      },
                  .ready = [] { return true; }});
  std::vector<std::string> replies(3 * kHttpThreads);
  {
    std::vector<std::jthread> scrapers;
    for (std::string& reply : replies) {
      scrapers.emplace_back([&] { reply = Request(endpoint->address(), "GET", "/metrics"); });
    }
  }
  for (const std::string& reply : replies) EXPECT_EQ(BodyOf(reply), "m 1\n");
  EXPECT_EQ(most, kHttpThreads);
}

TEST(HttpEndpointTest, RefusesConnectionsOnceDestroyed) {
  auto endpoint = StartOrDie(FixedHandlers());
  const std::string address = endpoint->address();
  const int idle = ConnectTo(address);  // an open connection must not keep it alive
  endpoint.reset();
  EXPECT_EQ(ReadAll(idle), "");
  EXPECT_EQ(ConnectTo(address), -1);
}

TEST(HttpEndpointTest, SaysWhyItCanNotStart) {
  const auto first = StartOrDie(FixedHandlers());
  struct Case {
    std::string address, reason;
  };
  for (const Case& c : std::vector<Case>{{first->address(), "Address already in use"},
                                         {"192.0.2.1:80", "Cannot assign requested address"},
                                         {"127.0.0.1:99999", "invalid port"},
                                         {"no-such-host.invalid:80", "no-such-host.invalid"},
                                         {"", "ADDRESS:PORT"},
                                         {"127.0.0.1", "ADDRESS:PORT"},
                                         {"127.0.0.1:", "ADDRESS:PORT"},
                                         {"127.0.0.1:0s", "ADDRESS:PORT"},
                                         {"127.0.0.1:0,0.0.0.0:0", "ADDRESS:PORT"}}) {
    const auto endpoint = HttpEndpoint::Start(c.address, FixedHandlers());
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument) << c.address;
    EXPECT_THAT(std::string(endpoint.status().message()),
                AllOf(HasSubstr(c.address), HasSubstr(c.reason)));
  }
}

// Debian's civetweb has no IPv6; then the error must say so.
TEST(HttpEndpointTest, ServesIpv6OrSaysThatItCanNot) {
  const auto endpoint = HttpEndpoint::Start("[::1]:0", FixedHandlers());
  if (endpoint.ok()) {
    EXPECT_THAT((*endpoint)->address(), testing::MatchesRegex("\\[::1\\]:[1-9][0-9]*"));
  } else {
    EXPECT_THAT(std::string(endpoint.status().message()), HasSubstr("[::1]:0"));
  }
}

}  // namespace
}  // namespace larder::server
