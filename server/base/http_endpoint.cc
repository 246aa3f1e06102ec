#include "server/base/http_endpoint.h"

#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "civetweb.h"
#include "proto/contract/errors.h"
#include "server/base/log.h"
#include "server/base/mutex.h"

namespace larder::server {

struct HttpEndpoint::State {
  HttpHandlers handlers;
  std::string host;
  int port = 0;
  std::string address;  // host:port
  mg_context* context = nullptr;
  Mutex mutex;
  std::string first_message ABSL_GUARDED_BY(mutex);  // civetweb's own words: why a start failed

  ~State() {
    if (context != nullptr) Stop();
  }
  void Stop();
};

// civetweb looks at its stop flag only every two seconds, or when somebody connects.
void HttpEndpoint::State::Stop() {
  std::jthread waker([this](std::stop_token stopped) {
    while (!stopped.stop_requested()) {
      char error[256];  // unread: a refusal means that the listener is closed already
      if (mg_connection* connection =
              mg_connect_client(host.c_str(), port, /*use_ssl=*/0, error, sizeof error)) {
        mg_close_connection(connection);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  mg_stop(context);
}

namespace {

struct Answer {
  int code = 200;
  std::string_view reason = "OK";
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body = "ok\n";
};

Answer AnswerTo(const HttpHandlers& handlers, std::string_view method, std::string_view path) {
  if (method != "GET" && method != "HEAD") {
    return {.code = 405, .reason = "Method Not Allowed", .body = "only GET and HEAD\n"};
  }
  if (path == "/metrics") {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = handlers.metrics()};
  }
  if (path == "/healthz") return {};
  if (path == "/readyz") {
    if (handlers.ready()) return {};
    return {.code = 503, .reason = "Service Unavailable", .body = "draining\n"};
  }
  return {.code = 404, .reason = "Not Found", .body = "try /metrics, /healthz or /readyz\n"};
}

// Runs on a thread of civetweb, which is C: nothing may be thrown through it, so handlers do not
// throw.
int ServeRequest(const HttpHandlers& handlers, mg_connection* connection) {
  const mg_request_info* request = mg_get_request_info(connection);
  const std::string_view method = request->request_method;
  const Answer answer = AnswerTo(handlers, method, request->local_uri);
  std::string reply = absl::StrCat("HTTP/1.1 ", answer.code, " ", std::string(answer.reason),
                                   "\r\nContent-Type: ", std::string(answer.content_type),
                                   "\r\nContent-Length: ", answer.body.size(),
                                   "\r\nCache-Control: no-store\r\nConnection: close\r\n");
  if (answer.code == 405) reply += "Allow: GET, HEAD\r\n";
  reply += "\r\n";
  if (method != "HEAD") reply += answer.body;
  mg_write(connection, reply.data(), reply.size());
  return answer.code;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  HttpHandlers handlers) {
  const size_t colon = address.rfind(':');
  // civetweb's own grammar is wider (lists, TLS suffixes): nothing of it may slip through.
  if (colon == std::string::npos || colon + 1 == address.size() ||
      address.find_first_not_of("0123456789", colon + 1) != std::string::npos ||
      address.find(',') != std::string::npos) {
    return InvalidField("metrics_listen", address, "ADDRESS:PORT");
  }
  if (address.front() == '[' && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return InvalidField("metrics_listen", address,
                        "an IPv4 address: this system's civetweb is built without IPv6");
  }
  auto state = std::make_unique<State>();
  state->handlers = std::move(handlers);
  state->host = address.substr(0, colon);
  if (state->host == "localhost") state->host = "127.0.0.1";

  mg_callbacks callbacks{};
  callbacks.begin_request = [](mg_connection* connection) {
    return ServeRequest(static_cast<State*>(mg_get_user_data(mg_get_context(connection)))->handlers,
                        connection);
  };
  callbacks.log_message = [](const mg_connection* connection, const char* message) {
    auto* logged = static_cast<State*>(mg_get_user_data(mg_get_context(connection)));
    LogDebug("http endpoint", {{"message", message}});  // peers can cause these at will
    MutexLock lock(logged->mutex);
    if (logged->first_message.empty()) logged->first_message = message;
    return 1;
  };
  const std::vector<std::string> options = {
      "listening_ports",    state->host + address.substr(colon),
      "num_threads",        std::to_string(kHttpThreads),
      "connection_queue",   std::to_string(kHttpQueueMax),
      "request_timeout_ms", std::to_string(kHttpTimeout.count()),
      "max_request_size",   std::to_string(kHttpRequestBytesMax)};
  std::vector<const char*> option_texts;
  for (const std::string& option : options) option_texts.push_back(option.c_str());
  option_texts.push_back(nullptr);
  state->context = mg_start(&callbacks, state.get(), option_texts.data());
  if (state->context == nullptr) {
    MutexLock lock(state->mutex);
    return InvalidField("metrics_listen", address,
                        absl::StrCat("an address that can be bound (", state->first_message, ")"));
  }
  mg_server_port port{};
  if (mg_get_server_ports(state->context, 1, &port) != 1) {
    return Bug("the HTTP endpoint listens on no port");
  }
  state->port = port.port;
  state->address = absl::StrCat(state->host, ":", state->port);
  return std::unique_ptr<HttpEndpoint>(new HttpEndpoint(std::move(state)));
}

HttpEndpoint::HttpEndpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpEndpoint::~HttpEndpoint() = default;
const std::string& HttpEndpoint::address() const { return state_->address; }

}  // namespace larder::server
