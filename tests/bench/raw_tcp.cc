// What plain sockets move over loopback: the floor under every other transport.
//
//   raw_tcp --serve [--block-bytes N --blocks N]                      prints the ready line, serves
//   until TERM raw_tcp --connect 127.0.0.1:PORT --op get|put [load flags]        one connection per
//   worker
//
// A GET is a 24-byte request answered by the blocks' bytes; a PUT is a request followed by the
// bytes, answered by one byte. Sender and receiver use their working sets directly: no copy beyond
// the kernel's.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/socket_io.h"
#include "tests/bench/transfer_load.h"

namespace larder::bench {
namespace {

enum class Verb : uint64_t { kGet, kPut, kCpuSeconds };

struct Request {
  Verb verb;
  uint64_t first;
  uint64_t count;
};

bool ServeRequest(int fd, WorkingSet& blocks) {
  Request request;
  if (!ReceiveAll(fd, &request, sizeof(request))) return false;
  if (request.verb == Verb::kCpuSeconds) {
    const double seconds = ProcessCpuSeconds();
    return SendAll(fd, &seconds, sizeof(seconds));
  }
  if (request.first > blocks.blocks() || request.count > blocks.blocks() - request.first)
    return false;
  const std::span<std::byte> span = blocks.Blocks(request.first, request.count);
  if (request.verb == Verb::kGet) return SendAll(fd, span.data(), span.size());
  const char ack = 1;
  return ReceiveAll(fd, span.data(), span.size()) && SendAll(fd, &ack, sizeof(ack));
}

sockaddr_in LoopbackAddress(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int Serve(const TransferOptions& options) {
  WorkingSet blocks(options.block_bytes, options.blocks);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = LoopbackAddress(0);
  socklen_t size = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 64) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::cerr << "cannot listen on loopback: " << std::strerror(errno) << "\n";
    return 1;
  }
  PrintReady("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  while (true) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::thread([fd, &blocks] {
      while (ServeRequest(fd, blocks)) {
      }
      close(fd);
    }).detach();
  }
}

class Connection {
 public:
  explicit Connection(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const sockaddr_in address = LoopbackAddress(port);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error(std::string("cannot connect: ") + std::strerror(errno));
    }
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool Get(uint64_t first, uint64_t count, std::span<std::byte> into) {
    const Request request{Verb::kGet, first, count};
    return SendAll(fd_, &request, sizeof(request)) && ReceiveAll(fd_, into.data(), into.size());
  }
  bool Put(uint64_t first, uint64_t count, std::span<const std::byte> from) {
    const Request request{Verb::kPut, first, count};
    char ack = 0;
    return SendAll(fd_, &request, sizeof(request)) && SendAll(fd_, from.data(), from.size()) &&
           ReceiveAll(fd_, &ack, sizeof(ack));
  }
  double ServerCpuSeconds() {
    const Request request{Verb::kCpuSeconds, 0, 0};
    double seconds = 0;
    SendAll(fd_, &request, sizeof(request)) && ReceiveAll(fd_, &seconds, sizeof(seconds));
    return seconds;
  }

 private:
  int fd_;
};

int Load(const TransferOptions& options, const std::string& address) {
  const auto port = static_cast<uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  WorkingSet blocks(options.block_bytes, options.blocks);
  std::vector<std::unique_ptr<Connection>> connections;
  for (uint64_t i = 0; i < options.concurrency; ++i) {
    connections.push_back(std::make_unique<Connection>(port));
  }
  const bool get = options.op == "get";
  if (get) blocks.Clear();
  const auto transfer = [&](uint64_t worker, uint64_t first) {
    const std::span<std::byte> span = blocks.Blocks(first, options.batch);
    return get ? connections[worker]->Get(first, options.batch, span)
               : connections[worker]->Put(first, options.batch, span);
  };
  const int rc =
      RunTransferLoad(options, transfer, [&] { return connections[0]->ServerCpuSeconds(); });
  if (rc == 0 && !blocks.IsIntact(0)) {
    std::cerr << "block 0 arrived with wrong bytes\n";
    return 1;
  }
  return rc;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  CLI::App app("Raw loopback TCP, without a store.");
  larder::bench::TransferOptions options;
  bool serve = false;
  std::string address;
  auto* mode = app.add_option_group("mode")->require_option(1);
  mode->add_flag("--serve", serve, "Serve the working set on a free loopback port");
  mode->add_option("--connect", address, "Run the load against this server");
  larder::bench::AddTransferFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    return serve ? larder::bench::Serve(options) : larder::bench::Load(options, address);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
