// What UCX's own primitives move between two processes over one transport, without a store: the
// baseline of the plane "ucx".
//
//   bare_ucx --tls tcp|posix|sysv,cma... [--op get|put] [--primitive tag,am,am_eager,rma]
//            [--block-bytes ...] [--message-bytes N] [--batch N] [--working-set-bytes N]
//            [--seconds S] [--json FILE]
//
// One JSON line per primitive and block size: op, primitive, block_bytes, bytes_per_second, p50 and
// p99 of one operation in microseconds, client and server CPU seconds per GB (GB = 1e9 bytes).
// An operation moves `batch` consecutive blocks and one is in flight at a time, as in `larder bench`
// with one thread:
//   tag, am   by rendezvous. get: the client asks, the server sends; put: the client sends, the
//             server confirms
//   am_eager  the same in messages of at most --message-bytes, which the receiver copies
//   rma       get: the client gets from the server's memory; put: it puts and flushes
// UCX is told what makes each fastest over TCP: rendezvous that write where the bytes belong, and
// buffers that hold a message.
// Both sides walk working sets that are larger than the last-level cache by default, and sleep on
// the worker's event descriptor when there is nothing to do. The server is a child made by fork
// before UCX is set up.
#include <sys/socket.h>
#include <sys/wait.h>
#include <ucp/api/ucp.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/socket_io.h"
#include "tests/bench/transfer_load.h"

namespace larder::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string tls = "tcp";
  std::string op = "get";
  std::vector<std::string> primitives = {"tag", "am", "am_eager", "rma"};
  uint64_t message_bytes = 512 << 10;
  std::vector<uint64_t> block_bytes = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 32 << 20};
  uint64_t batch = 1;
  uint64_t working_set_bytes = 256 << 20;
  double seconds = 2;
  std::string json;
};

enum class Verb : uint64_t { kGetByTag, kPutByTag, kGetByAm, kPutByAm, kCpuSeconds, kEnd };
struct Request {
  Verb verb;
  uint64_t eager;  // 1: in messages
  uint64_t first;
  uint64_t count;
  uint64_t block_bytes;
};

constexpr ucp_tag_t kRequestTag = 1;
constexpr ucp_tag_t kAnswerTag = 2;
constexpr ucp_tag_t kBlockTag = 3;
constexpr unsigned kBlockAm = 7;

void Check(ucs_status_t status, const char* what) {
  if (status != UCS_OK)
    throw std::runtime_error(std::string(what) + ": " + ucs_status_string(status));
}

// One side: context, worker, the endpoint to the other side, and its memory.
class Side {
 public:
  // `socket` leads to the other side, for addresses and remote keys.
  Side(const Options& options, int socket)
      : memory_(options.working_set_bytes), message_bytes_(options.message_bytes) {
    std::memset(memory_.data(), 1, memory_.size());
    // Through the environment, whose names every version knows.
    if (options.tls == "tcp") {
      constexpr uint64_t kHeadsBytes = 8 << 10;
      const std::string segment = std::to_string(message_bytes_ + kHeadsBytes);
      ::setenv("UCX_NET_DEVICES", "lo", 0);
      ::setenv("UCX_RNDV_SCHEME", "put_zcopy", 0);
      ::setenv("UCX_TCP_RX_SEG_SIZE", segment.c_str(), 0);
      ::setenv("UCX_ZCOPY_THRESH", "4k", 0);
    }
    ucp_config_t* config;
    Check(ucp_config_read(nullptr, nullptr, &config), "ucp_config_read");
    Check(ucp_config_modify(config, "TLS", options.tls.c_str()), "TLS");
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_TAG | UCP_FEATURE_AM | UCP_FEATURE_RMA | UCP_FEATURE_WAKEUP;
    Check(ucp_init(&params, config, &context_), "ucp_init");
    ucp_config_release(config);
    ucp_worker_params_t worker{};
    worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
    worker.thread_mode = UCS_THREAD_MODE_SINGLE;
    Check(ucp_worker_create(context_, &worker, &worker_), "ucp_worker_create");
    ucp_am_handler_param_t handler{};
    handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB |
                         UCP_AM_HANDLER_PARAM_FIELD_ARG;
    handler.id = kBlockAm;
    handler.arg = this;
    handler.cb = [](void* arg, const void* header, size_t, void* bytes, size_t length,
                    const ucp_am_recv_param_t* param) {
      return static_cast<Side*>(arg)->OnBlock(header, bytes, length, param);
    };
    Check(ucp_worker_set_am_recv_handler(worker_, &handler), "ucp_worker_set_am_recv_handler");
    Connect(socket);
  }

  std::byte* memory() { return memory_.data(); }

  // Ends when every operation since the last call has.
  void Wait() {
    while (!pending_.empty()) {
      Progress();
      while (!pending_.empty() && ucp_request_check_status(pending_.back()) != UCS_INPROGRESS) {
        Check(ucp_request_check_status(pending_.back()), "transfer");
        ucp_request_free(pending_.back());
        pending_.pop_back();
      }
    }
  }
  void WaitForBytes(uint64_t count) {
    while (bytes_arrived_ < count) Progress();
    bytes_arrived_ = 0;
  }

  void SendTag(ucp_tag_t tag, const void* bytes, size_t size) {
    const ucp_request_param_t param{};
    Add(ucp_tag_send_nbx(endpoint_, bytes, size, tag, &param));
  }
  void ReceiveTag(ucp_tag_t tag, void* bytes, size_t size) {
    const ucp_request_param_t param{};
    Add(ucp_tag_recv_nbx(worker_, bytes, size, tag, ~ucp_tag_t{0}, &param));
  }
  void SendBlock(uint64_t offset, size_t size, bool eager) {
    const size_t step = eager ? message_bytes_ : size;
    for (size_t at = 0; at < size; at += step) {
      SendMessage(offset + at, std::min(step, size - at), eager);
    }
  }
  void SendMessage(uint64_t offset, size_t size, bool eager) {
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = eager ? UCP_AM_SEND_FLAG_EAGER : UCP_AM_SEND_FLAG_RNDV;
    headers_.push_back(std::make_unique<uint64_t>(offset));
    Add(ucp_am_send_nbx(endpoint_, kBlockAm, headers_.back().get(), sizeof(uint64_t),
                        memory() + offset, size, &param));
  }
  void GetBlock(uint64_t offset, size_t size) {
    const ucp_request_param_t param{};
    Add(ucp_get_nbx(endpoint_, memory() + offset, size, remote_memory_ + offset, remote_key_,
                    &param));
  }
  void PutBlock(uint64_t offset, size_t size) {
    const ucp_request_param_t param{};
    Add(ucp_put_nbx(endpoint_, memory() + offset, size, remote_memory_ + offset, remote_key_,
                    &param));
  }
  void Flush() {
    const ucp_request_param_t param{};
    Add(ucp_ep_flush_nbx(endpoint_, &param));
  }
  void ForgetHeaders() { headers_.clear(); }

 private:
  void Connect(int socket) {
    ucp_mem_map_params_t map{};
    map.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
    map.address = memory_.data();
    map.length = memory_.size();
    ucp_mem_h region;
    Check(ucp_mem_map(context_, &map, &region), "ucp_mem_map");
    void* key;
    size_t key_bytes, address_bytes;
    ucp_address_t* address;
    Check(ucp_rkey_pack(context_, region, &key, &key_bytes), "ucp_rkey_pack");
    Check(ucp_worker_get_address(worker_, &address, &address_bytes), "ucp_worker_get_address");
    const uint64_t base = reinterpret_cast<uint64_t>(memory_.data());
    const uint64_t sizes[] = {address_bytes, key_bytes, base};
    uint64_t theirs[3];
    bool good = SendAll(socket, sizes, sizeof(sizes)) && SendAll(socket, address, address_bytes) &&
                SendAll(socket, key, key_bytes) && ReceiveAll(socket, theirs, sizeof(theirs));
    std::vector<char> peer(good ? theirs[0] : 0), peer_key(good ? theirs[1] : 0);
    good = good && ReceiveAll(socket, peer.data(), peer.size()) &&
           ReceiveAll(socket, peer_key.data(), peer_key.size());
    if (!good) throw std::runtime_error("the other side is gone");
    ucp_rkey_buffer_release(key);
    ucp_worker_release_address(worker_, address);
    ucp_ep_params_t endpoint{};
    endpoint.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
    endpoint.address = reinterpret_cast<const ucp_address_t*>(peer.data());
    Check(ucp_ep_create(worker_, &endpoint, &endpoint_), "ucp_ep_create");
    Check(ucp_ep_rkey_unpack(endpoint_, peer_key.data(), &remote_key_), "ucp_ep_rkey_unpack");
    remote_memory_ = theirs[2];
  }

  ucs_status_t OnBlock(const void* header, void* bytes, size_t length,
                       const ucp_am_recv_param_t* param) {
    uint64_t offset;
    std::memcpy(&offset, header, sizeof(offset));
    if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) == 0) {
      std::memcpy(memory() + offset, bytes, length);
      bytes_arrived_ += length;
      return UCS_OK;
    }
    ucp_request_param_t receive{};
    receive.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    receive.user_data = this;
    receive.cb.recv_am = [](void* request, ucs_status_t, size_t length, void* arg) {
      static_cast<Side*>(arg)->bytes_arrived_ += length;
      ucp_request_free(request);
    };
    const ucs_status_ptr_t request =
        ucp_am_recv_data_nbx(worker_, bytes, memory() + offset, length, &receive);
    if (request == nullptr) bytes_arrived_ += length;
    return UCS_INPROGRESS;
  }

  void Add(ucs_status_ptr_t request) {
    if (UCS_PTR_IS_ERR(request)) Check(UCS_PTR_STATUS(request), "transfer");
    if (request != nullptr) pending_.push_back(request);
  }
  void Progress() {
    if (ucp_worker_progress(worker_) == 0) Check(ucp_worker_wait(worker_), "ucp_worker_wait");
  }

  std::vector<std::byte> memory_;
  const uint64_t message_bytes_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  ucp_rkey_h remote_key_ = nullptr;
  uint64_t remote_memory_ = 0;
  std::vector<std::unique_ptr<uint64_t>> headers_;
  std::vector<ucs_status_ptr_t> pending_;
  uint64_t bytes_arrived_ = 0;
};

void Serve(Side& side) {
  while (true) {
    Request request{};
    side.ReceiveTag(kRequestTag, &request, sizeof(request));
    side.Wait();
    uint64_t answer = 0;
    const bool by_tag = request.verb == Verb::kGetByTag || request.verb == Verb::kPutByTag;
    if (request.verb == Verb::kEnd) return;
    if (request.verb == Verb::kCpuSeconds) {
      const double seconds = ProcessCpuSeconds();
      std::memcpy(&answer, &seconds, sizeof(answer));
    }
    for (uint64_t i = request.first; i < request.first + request.count; ++i) {
      std::byte* const block = side.memory() + i * request.block_bytes;
      if (request.verb == Verb::kGetByTag) side.SendTag(kBlockTag, block, request.block_bytes);
      if (request.verb == Verb::kPutByTag) side.ReceiveTag(kBlockTag, block, request.block_bytes);
      if (request.verb == Verb::kGetByAm)
        side.SendBlock(i * request.block_bytes, request.block_bytes, request.eager != 0);
    }
    if (request.verb == Verb::kPutByAm) side.WaitForBytes(request.count * request.block_bytes);
    if (by_tag || request.verb == Verb::kGetByAm) side.Wait();
    if (request.verb == Verb::kPutByTag || request.verb == Verb::kPutByAm ||
        request.verb == Verb::kCpuSeconds) {
      side.SendTag(kAnswerTag, &answer, sizeof(answer));
      side.Wait();
    }
    side.ForgetHeaders();
  }
}

class Load {
 public:
  Load(Side& side, const Options& options) : side_(side), options_(options) {}

  nlohmann::ordered_json Run(const std::string& primitive, uint64_t block_bytes) {
    primitive_ = primitive;
    block_bytes_ = block_bytes;
    const uint64_t batches =
        std::max<uint64_t>(1, options_.working_set_bytes / (block_bytes * options_.batch));
    ServerCpuSeconds();  // UCX 1.13 loses a rendezvous that is the first message of a connection
    Operate(0);
    std::vector<double> micros;
    const double server_cpu = ServerCpuSeconds();
    const double client_cpu = ProcessCpuSeconds();
    const auto begin = SteadyClock::now();
    auto now = begin;
    while (std::chrono::duration<double>(now - begin).count() < options_.seconds) {
      Operate(micros.size() % batches * options_.batch);
      const auto end = SteadyClock::now();
      micros.push_back(std::chrono::duration<double, std::micro>(end - now).count());
      now = end;
    }
    const double gb = static_cast<double>(micros.size() * options_.batch * block_bytes) / 1e9;
    const double wall = std::chrono::duration<double>(now - begin).count();
    const double client_used = ProcessCpuSeconds() - client_cpu;
    const double server_used = ServerCpuSeconds() - server_cpu;
    std::sort(micros.begin(), micros.end());
    return {{"tls", options_.tls},
            {"op", options_.op},
            {"primitive", primitive},
            {"block_bytes", block_bytes},
            {"batch", options_.batch},
            {"bytes_per_second", gb * 1e9 / wall},
            {"p50_us", micros[micros.size() / 2]},
            {"p99_us", micros[micros.size() * 99 / 100]},
            {"client_cpu_seconds_per_gb", client_used / gb},
            {"server_cpu_seconds_per_gb", server_used / gb}};
  }
  void End() { Ask({Verb::kEnd, 0, 0, 0, 0}); }

 private:
  void Ask(const Request& request) {
    request_ = request;
    side_.SendTag(kRequestTag, &request_, sizeof(request_));
    if (request.verb == Verb::kEnd) side_.Wait();
  }
  double ServerCpuSeconds() {
    uint64_t answer = 0;
    Ask({Verb::kCpuSeconds, 0, 0, 0, 0});
    side_.ReceiveTag(kAnswerTag, &answer, sizeof(answer));
    side_.Wait();
    double seconds;
    std::memcpy(&seconds, &answer, sizeof(seconds));
    return seconds;
  }

  void Operate(uint64_t first) {
    const bool get = options_.op == "get";
    const bool tag = primitive_ == "tag";
    const bool eager = primitive_ == "am_eager";
    const bool am = primitive_ == "am" || eager;
    uint64_t answer = 0;
    for (uint64_t i = first; i < first + options_.batch; ++i) {
      const uint64_t offset = i * block_bytes_;
      if (get && tag) side_.ReceiveTag(kBlockTag, side_.memory() + offset, block_bytes_);
      if (!get && tag) side_.SendTag(kBlockTag, side_.memory() + offset, block_bytes_);
      if (!get && am) side_.SendBlock(offset, block_bytes_, eager);
      if (get && !tag && !am) side_.GetBlock(offset, block_bytes_);
      if (!get && !tag && !am) side_.PutBlock(offset, block_bytes_);
    }
    if (tag || am) {
      const Verb verb =
          tag ? (get ? Verb::kGetByTag : Verb::kPutByTag) : (get ? Verb::kGetByAm : Verb::kPutByAm);
      Ask({verb, eager, first, options_.batch, block_bytes_});
      if (!get) side_.ReceiveTag(kAnswerTag, &answer, sizeof(answer));
      if (get && am) side_.WaitForBytes(options_.batch * block_bytes_);
    } else if (!get) {
      side_.Flush();
    }
    side_.Wait();
    side_.ForgetHeaders();
  }

  Side& side_;
  const Options& options_;
  std::string primitive_;
  uint64_t block_bytes_ = 0;
  Request request_{};
};

int Run(const Options& options) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) throw std::runtime_error("socketpair");
  const pid_t server = fork();
  if (server == 0) {
    try {
      Side side(options, sockets[1]);
      Serve(side);
      _exit(0);
    } catch (const std::exception& e) {
      std::cerr << "server: " << e.what() << "\n";
      _exit(1);
    }
  }
  int rc = 0;
  try {
    Side side(options, sockets[0]);
    Load load(side, options);
    std::ofstream file;
    if (!options.json.empty()) file.open(options.json, std::ios::app);
    for (const uint64_t block_bytes : options.block_bytes) {
      for (const std::string& primitive : options.primitives) {
        const std::string line = load.Run(primitive, block_bytes).dump();
        std::cout << line << std::endl;
        if (file.is_open()) file << line << std::endl;
      }
    }
    load.End();
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    kill(server, SIGKILL);
    rc = 1;
  }
  int status = 0;
  waitpid(server, &status, 0);
  return rc != 0 || status != 0 ? 1 : 0;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  CLI::App app("UCX's own primitives between two processes, without a store.");
  larder::bench::Options options;
  app.add_option("--tls", options.tls, "UCX transports, as in UCX_TLS");
  app.add_option("--op", options.op)->check(CLI::IsMember({"get", "put"}));
  app.add_option("--primitive", options.primitives)
      ->delimiter(',')
      ->check(CLI::IsMember({"tag", "am", "am_eager", "rma"}));
  app.add_option("--message-bytes", options.message_bytes)->check(CLI::Range(4096, 16 << 20));
  app.add_option("--block-bytes", options.block_bytes)->delimiter(',');
  app.add_option("--batch", options.batch)->check(CLI::Range(1, 1024));
  app.add_option("--working-set-bytes", options.working_set_bytes);
  app.add_option("--seconds", options.seconds)->check(CLI::Range(0.05, 3600.0));
  app.add_option("--json", options.json, "Also append the lines to this file");
  CLI11_PARSE(app, argc, argv);
  for (const uint64_t block_bytes : options.block_bytes) {
    if (block_bytes == 0 || block_bytes * options.batch > options.working_set_bytes) {
      std::cerr << "a batch must not exceed --working-set-bytes\n";
      return 2;
    }
  }
  try {
    return larder::bench::Run(options);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
