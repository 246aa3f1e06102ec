// Plain HTTP for operators: /metrics (Prometheus), /healthz (the process works), /readyz (it takes
// traffic: 200, or 503 while draining). GET and HEAD only; any other method is 405, any other path
// 404. One request per connection, nothing is read from disk.
//
// Bounds: kHttpThreads requests at a time, kHttpQueueMax more wait, and a peer that sends or reads
// nothing for kHttpTimeout is cut off within a few seconds more, so a stuck scraper costs one
// thread for that long and nothing else.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace larder::server {

// A scraper, a liveness probe and a readiness probe at once, and one to spare for a person.
inline constexpr int kHttpThreads = 4;
// Accepted connections that wait for a thread; more than a few mean that nobody waits for the
// answers any more.
inline constexpr int kHttpQueueMax = 16;
// Scrapers give up after 10 s (Prometheus' default); a thread must not be held longer than its
// caller waits.
inline constexpr std::chrono::milliseconds kHttpTimeout{5'000};
// Request line and headers. Scrapers send a few hundred bytes.
inline constexpr int kHttpRequestBytesMax = 8'192;

struct HttpHandlers {
  std::function<std::string()> metrics;
  std::function<bool()> ready;
};

// Serves until destroyed; the destructor waits for requests in flight, and up to two seconds for
// connections that have sent none yet. Thread-safe; handlers are called on its own threads, at most
// kHttpThreads at a time, and must not throw.
class HttpEndpoint {
 public:
  // address as "127.0.0.1:0", "[::1]:9090" or "localhost:9090" (served as 127.0.0.1); port 0 picks
  // one. Whether the address may be listened on is Config's decision. INVALID_ARGUMENT, with the
  // reason, when it can not be parsed or bound.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const std::string& address,
                                                             HttpHandlers handlers);
  ~HttpEndpoint();

  // Where it really listens: "127.0.0.1:41234".
  const std::string& address() const;

 private:
  struct State;
  explicit HttpEndpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace larder::server
