#include "transport/ucx_worker.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "transport/ucx_address.h"

namespace larder::transport {
namespace {

absl::Status Broken(const char* what, ucs_status_t status) {
  return Bug(absl::StrCat("UCX: ", what, ": ", ucs_status_string(status)));
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// Whether this UCX outlives TCP connections that break while memory is sent without a copy. 1.22 does, as it is used
// here (FORMAT.md, Downsides); 1.13 aborts, so a client that is killed could take the server with it.
bool SurvivesBrokenTcp() {
  unsigned major = 0, minor = 0, release = 0;
  ucp_get_version(&major, &minor, &release);
  return major > 1 || minor >= 22;
}

// A message arrives in one buffer of UCX, whole, with UCX's headers and ours. A connection at work has one.
constexpr uint64_t kSegmentBytes = kUcxMessageBytes + (8 << 10);

// What is shorter UCX copies faster than it sends it from where it is.
Fields WithoutCopies() {
  return {{"TCP_RX_SEG_SIZE", absl::StrCat(kSegmentBytes)}, {"ZCOPY_THRESH", "4k"}};
}

// 1.13 aborts once in about a thousand kills when it sends without a copy, or when a put is acknowledged to a peer that
// is gone. It knows its transports' fields without their prefix.
Fields WithCopies() {
  const std::string segment = absl::StrCat(kSegmentBytes);
  return {{"RX_SEG_SIZE", segment},
          {"TX_SEG_SIZE", segment},
          {"ZCOPY_THRESH", "inf"},
          {"PUT_ENABLE", "n"}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<UcxWorker>> UcxWorker::Start(Options options) {
  std::unique_ptr<UcxWorker> worker(new UcxWorker(std::move(options)));
  if (absl::Status status = worker->Open(); !status.ok()) return status;
  worker->thread_ = std::thread([raw = worker.get()] { raw->Run(); });
  return worker;
}

UcxWorker::~UcxWorker() {
  if (thread_.joinable()) {
    mailbox_->Post([this] { stop_ = true; });
    thread_.join();
  }
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  if (context_ != nullptr) ucp_cleanup(context_);
  if (epoll_ >= 0) ::close(epoll_);
  if (parked_ >= 0) ::close(parked_);
}

absl::Status UcxWorker::OpenContext() {
  ucp_config_t* config;
  // No prefix of ours and no file: what an operator sets as UCX_* still applies, as for any UCX program.
  ucs_status_t status = ucp_config_read(nullptr, nullptr, &config);
  if (status != UCS_OK) return Broken("configuration", status);
  Fields fields = {
      {"TLS", options_.transports},
      {"NET_DEVICES", options_.devices},
      {"RNDV_THRESH", "inf"},  // no message of ours names memory to the other side
      {"KEEPALIVE_INTERVAL", absl::StrCat(options_.keepalive.count(), "ms")},
  };
  if (options_.transports.find("tcp") != std::string::npos) {
    const Fields tcp = SurvivesBrokenTcp() ? WithoutCopies() : WithCopies();
    fields.insert(fields.end(), tcp.begin(), tcp.end());
  }
  std::string failed = "context";
  for (const auto& [name, value] : fields) {
    if (status != UCS_OK) break;
    status = ucp_config_modify(config, name.c_str(), value.c_str());
    if (status != UCS_OK) failed = absl::StrCat("field ", name);
  }
  if (status == UCS_OK) {
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
    status = ucp_init(&params, config, &context_);
  }
  ucp_config_release(config);
  if (status != UCS_OK) return Broken(failed.c_str(), status);
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  status = ucp_worker_create(context_, &params, &worker_);
  return status == UCS_OK ? absl::OkStatus() : Broken("worker", status);
}

absl::Status UcxWorker::Open() {
  if (absl::Status status = OpenContext(); !status.ok()) return status;
  SetHandlers();
  int ucx_fd = -1;
  if (const ucs_status_t status = ucp_worker_get_efd(worker_, &ucx_fd); status != UCS_OK) {
    return Broken("event descriptor", status);
  }
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  parked_ = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event ucx{};
  ucx.events = EPOLLIN;
  epoll_event tasks{};
  tasks.events = EPOLLIN | EPOLLET;
  if (epoll_ < 0 || parked_ < 0 || mailbox_->fd() < 0 ||
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, ucx_fd, &ucx) != 0 ||
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, mailbox_->fd(), &tasks) != 0 ||
      ::epoll_ctl(parked_, EPOLL_CTL_ADD, mailbox_->fd(), &tasks) != 0) {
    return Bug(absl::StrCat("the UCX thread can not sleep: errno ", errno));
  }
  return options_.listen.empty() ? absl::OkStatus() : Listen();
}

absl::Status UcxWorker::Listen() {
  const auto address = ParseAddress(options_.listen);
  if (!address.ok()) return address.status();
  ucp_listener_params_t params{};
  params.field_mask = UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | UCP_LISTENER_PARAM_FIELD_CONN_HANDLER;
  params.sockaddr.addr = reinterpret_cast<const sockaddr*>(&*address);
  params.sockaddr.addrlen = sizeof(*address);
  params.conn_handler.arg = this;
  params.conn_handler.cb = [](ucp_conn_request_h request, void* worker) {
    static_cast<UcxWorker*>(worker)->Accept(request);
  };
  ucs_status_t status = ucp_listener_create(worker_, &params, &listener_);
  if (status != UCS_OK)
    return InvalidField("ucx address", options_.listen, ucs_status_string(status));
  ucp_listener_attr_t attributes{};
  attributes.field_mask = UCP_LISTENER_ATTR_FIELD_SOCKADDR;
  status = ucp_listener_query(listener_, &attributes);
  if (status != UCS_OK) return Broken("listener", status);
  address_ = AddressText(attributes.sockaddr);
  return absl::OkStatus();
}

// What UCX calls for a message that begins with a Head: handle(worker, endpoint, head, bytes behind it), if it is one.
// `Handle` is a lambda without captures.
template <typename Head, typename Handle>
ucp_am_recv_callback_t UcxWorker::On(Handle) {
  return [](void* worker, const void* head, size_t head_bytes, void* bytes, size_t length,
            const ucp_am_recv_param_t* param) -> ucs_status_t {
    const bool whole = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0;
    if ((param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) == 0 || !whole ||
        head_bytes != sizeof(Head)) {
      return UCS_OK;
    }
    Head message;
    std::memcpy(&message, head, sizeof(message));
    const std::span body(static_cast<const std::byte*>(bytes), length);
    Handle{}(*static_cast<UcxWorker*>(worker), param->reply_ep, message, body);
    return UCS_OK;  // the bytes are UCX's again
  };
}

void UcxWorker::SetHandlers() {
  const std::pair<unsigned, ucp_am_recv_callback_t> handlers[] = {
      {kUcxHello, On<UcxHello>([](UcxWorker& self, ucp_ep_h from, auto& hello, auto) {
         self.OnHello(from, hello);
       })},
      {kUcxWelcome, On<UcxWelcome>([](UcxWorker& self, ucp_ep_h from, auto& welcome, auto) {
         self.OnWelcome(from, welcome);
       })},
      {kUcxPush, On<UcxPush>([](UcxWorker& self, ucp_ep_h from, auto& push, auto bytes) {
         if (UcxPeer* const peer = self.PeerOf(from)) peer->OnPush(push, bytes);
       })},
      {kUcxPull, On<UcxPull>([](UcxWorker& self, ucp_ep_h from, auto& pull, auto) {
         if (UcxPeer* const peer = self.PeerOf(from)) peer->OnPull(pull);
       })},
      {kUcxAnswer, On<UcxAnswer>([](UcxWorker& self, ucp_ep_h from, auto& answer, auto bytes) {
         if (UcxPeer* const peer = self.PeerOf(from)) peer->OnAnswer(answer, bytes);
       })},
      {kUcxText, On<UcxText>([](UcxWorker& self, ucp_ep_h from, auto&, auto bytes) {
         self.OnText(from, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
       })},
  };
  for (const auto& [id, handle] : handlers) {
    ucp_am_handler_param_t param{};
    param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                       UCP_AM_HANDLER_PARAM_FIELD_ARG;
    param.id = id;
    param.cb = handle;
    param.arg = this;
    ucp_worker_set_am_recv_handler(worker_, &param);
  }
}

// Both ways to an endpoint: `params` says where it leads, and UCX has let go of that when there is none.
absl::StatusOr<std::shared_ptr<UcxPeer>> UcxWorker::OpenPeer(ucp_ep_params_t params) {
  params.field_mask |= UCP_EP_PARAM_FIELD_ERR_HANDLER | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.arg = this;
  params.err_handler.cb = [](void* worker, ucp_ep_h endpoint, ucs_status_t) {
    static_cast<UcxWorker*>(worker)->OnBroken(endpoint);
  };
  ucp_ep_h endpoint = nullptr;
  const ucs_status_t status = ucp_ep_create(worker_, &params, &endpoint);
  if (status != UCS_OK) return ServerUnreachable("ucx", ucs_status_string(status));
  return std::make_shared<UcxPeer>(endpoint, mailbox_, options_.peer);
}

void UcxWorker::Accept(ucp_conn_request_h request) {
  if (stop_ || connections_.size() >= options_.peers_max) {
    ucp_listener_reject(listener_, request);
    return;
  }
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_CONN_REQUEST;
  params.conn_request = request;
  auto peer = OpenPeer(params);
  if (peer.ok()) Add({*std::move(peer), std::chrono::steady_clock::now() + kHelloTimeout});
}

void UcxWorker::Add(Connection connection) {
  connections_[connection.peer->endpoint()] = std::move(connection);
  ++unheard_;
}

void UcxWorker::Connect(const std::string& address, const UcxHello& hello, UcxTime deadline,
                        std::function<void()> gone, Connected done, Hear hear) {
  Connection connection{nullptr,         deadline,        false,
                        std::move(gone), std::move(done), std::move(hear)};
  mailbox_->Post([this, address, hello, connection = std::move(connection)] {
    ConnectNow(address, hello, connection);
  });
}

void UcxWorker::ConnectNow(const std::string& address, const UcxHello& hello,
                           Connection connection) {
  const auto where = ParseAddress(address);
  if (!where.ok()) {
    connection.connected(where.status());
    return;
  }
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_FLAGS | UCP_EP_PARAM_FIELD_SOCK_ADDR;
  params.flags = UCP_EP_PARAMS_FLAGS_CLIENT_SERVER;
  params.sockaddr.addr = reinterpret_cast<const sockaddr*>(&*where);
  params.sockaddr.addrlen = sizeof(*where);
  auto peer = OpenPeer(params);
  if (!peer.ok()) {
    connection.connected(peer.status());
    return;
  }
  (*peer)->SendHead(kUcxHello, &hello, sizeof(hello));
  connection.peer = *std::move(peer);
  Add(std::move(connection));
}

UcxPeer* UcxWorker::PeerOf(ucp_ep_h endpoint) {
  const auto found = connections_.find(endpoint);
  return found == connections_.end() || !found->second.greeted ? nullptr : found->second.peer.get();
}

void UcxWorker::OnHello(ucp_ep_h endpoint, const UcxHello& hello) {
  const auto found = connections_.find(endpoint);
  if (found == connections_.end() || found->second.greeted || !options_.accept) return;
  Connection& connection = found->second;
  Verdict verdict{InvalidField("hello", "another", "magic and version")};
  if (hello.magic == kUcxMagic && hello.version == kUcxVersion) {
    verdict = options_.accept(connection.peer, hello);
  }
  // A refused one is closed when its time is over, so that the answer is not lost.
  const UcxWelcome welcome{kUcxMagic, static_cast<uint32_t>(verdict.status.code())};
  connection.peer->SendHead(kUcxWelcome, &welcome, sizeof(welcome));
  if (!verdict.status.ok()) return;
  connection.greeted = true;
  connection.gone = std::move(verdict.gone);
  connection.hear = std::move(verdict.hear);
  --unheard_;
}

void UcxWorker::OnWelcome(ucp_ep_h endpoint, const UcxWelcome& welcome) {
  const auto found = connections_.find(endpoint);
  if (found == connections_.end() || found->second.greeted || !found->second.connected) return;
  Connection& connection = found->second;
  const Connected connected = std::exchange(connection.connected, nullptr);
  if (welcome.magic != kUcxMagic || welcome.code != 0) {
    connection.gone = nullptr;
    connection.peer->Close();
    connected(absl::Status(welcome.code == 0 ? absl::StatusCode::kInternal
                                             : static_cast<absl::StatusCode>(welcome.code),
                           "the server refused the UCX connection"));
    return;
  }
  connection.greeted = true;
  --unheard_;
  connected(connection.peer);
}

void UcxWorker::OnText(ucp_ep_h endpoint, std::string_view text) {
  const auto found = connections_.find(endpoint);
  if (found == connections_.end() || !found->second.greeted) return;
  // It only posts what it wants to be sent.
  const Connection& connection = found->second;
  const bool good = text.size() <= kUcxTextBytesMax && connection.hear && connection.hear(text);
  if (!good) connection.peer->Close();
}

// Called by UCX in the middle of things: closed on the thread's next turn.
void UcxWorker::OnBroken(ucp_ep_h endpoint) {
  const auto found = connections_.find(endpoint);
  if (found != connections_.end()) found->second.peer->Break();
}

void UcxWorker::Tick(UcxTime now) {
  for (auto it = connections_.begin(); it != connections_.end();) {
    Connection& connection = it->second;
    if (!connection.greeted && connection.greet_by <= now) connection.peer->CloseNow();
    connection.peer->Tick(now);
    if (!connection.peer->closing()) {
      ++it;
      continue;
    }
    if (!connection.greeted) --unheard_;
    closing_.push_back(std::move(connection));
    it = connections_.erase(it);
  }
  std::vector<Connection> gone;
  std::erase_if(closing_, [&gone](Connection& connection) {
    if (!connection.peer->IsGone()) return false;
    gone.push_back(std::move(connection));
    return true;
  });
  for (Connection& connection : gone) {
    if (connection.connected) {
      connection.connected(ServerUnreachable("ucx", "no answer"));
    } else if (connection.gone) {
      connection.gone();
    }
  }
}

}  // namespace larder::transport
