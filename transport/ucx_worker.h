// A UCX worker with a thread of its own, and its connections. One end accepts them (listen address), the other
// makes them. Both ends are this class, so that server and client share what is hard about UCX.
//
// The thread sleeps in epoll on UCX's event descriptor and the mailbox; while transfers with deadlines run it
// also wakes up every kTick. UCX is used by this thread alone, or by one that waits for a transfer and has taken its turn.
//
// Connections are made through UCX's listener. UCX aborts the process on malformed bytes at any of its
// ports (FORMAT.md, Downsides): listen only where everybody who can connect is trusted that far.
//
// A connection begins with a hello; one that sends none within kHelloTimeout is closed. Errors of UCX on a
// connection, keepalive included, close that connection and no other.
//
// Thread-safe. Destruction closes all connections and returns when every transfer has ended.
#pragma once

#include <ucp/api/ucp.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "transport/ucx_mailbox.h"
#include "transport/ucx_peer.h"

namespace larder::transport {

class UcxWorker {
 public:
  static constexpr auto kTick = std::chrono::milliseconds(5);
  static constexpr auto kHelloTimeout = std::chrono::seconds(2);

  // A text of the other side; false closes the connection. On the worker's thread, quick.
  using Hear = std::function<bool(std::string_view)>;
  // What becomes of a connection. `gone` runs once on the worker's thread when it has ended.
  struct Verdict {
    absl::Status status;
    std::function<void()> gone;
    Hear hear = nullptr;  // null: no text is expected
  };

  struct Options {
    // As UCX_TLS and UCX_NET_DEVICES.
    std::string transports = "tcp";
    std::string devices = "lo";
    // HOST:PORT (numeric IPv4, port 0 picks one) to accept connections at; empty: none.
    std::string listen;
    // Connections that are accepted at most.
    uint32_t peers_max = 1024;
    UcxPeer::Limits peer;
    // How often UCX asks whether the other side is there.
    std::chrono::milliseconds keepalive{1000};
    // Decides about a hello, on the worker's thread; must be quick.
    std::function<Verdict(const std::shared_ptr<UcxPeer>&, const UcxHello&)> accept;
  };

  // INVALID_ARGUMENT for an address that can not be used, INTERNAL when UCX does not start.
  static absl::StatusOr<std::unique_ptr<UcxWorker>> Start(Options options);
  ~UcxWorker();

  // Whether its thread asks, which must not destroy it.
  bool IsThisThread() const { return thread_.get_id() == std::this_thread::get_id(); }

  // The right to run the worker on the calling thread: what is sent, received and called back is then spared the way through
  // another thread and back. One has it at a time. Its holder must keep the worker alive and not wait for it otherwise.
  class Turn {
   public:
    explicit Turn(UcxWorker& worker);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    bool taken() const { return worker_ != nullptr; }  // else another thread has it
    // Does what is there to be done, for a few messages at most; does not wait.
    void Step();
    // Until `done` is true, or the time has come: which of the two.
    bool Until(UcxTime until, const std::function<bool()>& done);
    // Somebody will take the next turn at once: the worker's own thread need not wake up for what is open.
    void LeaveToNext() { followed_ = true; }

   private:
    UcxWorker* worker_ = nullptr;
    bool followed_ = false;
  };

  // HOST:PORT of the listener.
  const std::string& address() const { return address_; }

  // Connects to a worker that listens at `address`. `done` is called once, on the worker's thread, before
  // `deadline` and a tick have passed: with the peer, the other side's refusal, or UNAVAILABLE.
  using Connected = std::function<void(absl::StatusOr<std::shared_ptr<UcxPeer>>)>;
  void Connect(const std::string& address, const UcxHello& hello, UcxTime deadline,
               std::function<void()> gone, Connected done, Hear hear = nullptr);

 private:
  struct Connection {
    std::shared_ptr<UcxPeer> peer;
    UcxTime greet_by;      // of a connection that has not been greeted
    bool greeted = false;  // the hello (or the welcome) has come
    std::function<void()> gone;
    Connected connected;  // made by us: until greeted
    Hear hear = nullptr;
  };

  explicit UcxWorker(Options options) : options_(std::move(options)) {}
  absl::Status Open();
  absl::Status OpenContext();
  absl::Status Listen();
  void SetHandlers();
  void Run();
  // What comes next for who has done one round of the work.
  enum class Next { kGoOn, kYield, kSleep, kEnd };
  Next Round();
  // Sleeps, at most so long; the turn is not held by the worker's own thread then.
  void Sleep(int timeout_ms);
  void AwaitTurn();
  // Milliseconds that the thread may sleep.
  int SleepMs() const;
  absl::StatusOr<std::shared_ptr<UcxPeer>> OpenPeer(ucp_ep_params_t params);
  void Add(Connection connection);
  void Accept(ucp_conn_request_h request);
  void ConnectNow(const std::string& address, const UcxHello& hello, Connection connection);
  void OnHello(ucp_ep_h endpoint, const UcxHello& hello);
  void OnWelcome(ucp_ep_h endpoint, const UcxWelcome& welcome);
  void OnText(ucp_ep_h endpoint, std::string_view text);
  void OnBroken(ucp_ep_h endpoint);
  UcxPeer* PeerOf(ucp_ep_h endpoint);
  void Tick(UcxTime now);

  template <typename Head, typename Handle>
  static ucp_am_recv_callback_t On(Handle handle);

  const Options options_;
  const std::shared_ptr<UcxMailbox> mailbox_ = std::make_shared<UcxMailbox>();
  std::string address_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_listener_h listener_ = nullptr;
  int epoll_ = -1;
  // What the worker's thread sleeps in while another one has the turn: the mailbox alone.
  int parked_ = -1;
  std::atomic<bool> lent_{false};  // another thread has the turn, or waits for it
  std::mutex turn_;
  // Of who has the turn.
  UcxTime next_tick_{};
  UcxTime worked_at_{};
  UcxTime received_at_{};
  bool stopping_ = false;
  std::map<ucp_ep_h, Connection> connections_;
  std::vector<Connection> closing_;  // endpoints that UCX is destroying
  size_t unheard_ = 0;               // connections that have not been greeted
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace larder::transport
