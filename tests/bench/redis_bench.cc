// What Redis moves over loopback TCP or a unix socket: the store most people would reach for.
//
//   redis_bench --connect 127.0.0.1:PORT|unix:PATH --op get|put [load flags]
//
// Needs a running redis-server without persistence (tests/bench/inline_plane.sh starts one). SET
// stores and GET fetches whole blocks; a batch is pipelined. hiredis allocates each reply, and the
// client copies it into its final buffer, as a user of hiredis would.
// --client plain leaves hiredis out: payloads go from and to the working set without a copy. It is
// the strongest Redis we could build, and the one that ratios should be taken against.
#include <hiredis/hiredis.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/socket_io.h"
#include "tests/bench/transfer_load.h"

namespace larder::bench {
namespace {

struct RedisOptions : TransferOptions {
  std::string client = "hiredis";
};

using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

class Connection {
 public:
  explicit Connection(const std::string& address) : context_(Open(address), redisFree) {
    if (context_ == nullptr || context_->err != 0) {
      throw std::runtime_error("cannot connect to Redis at " + address);
    }
  }

  bool Set(uint64_t first, std::span<const std::byte> blocks, uint64_t block_bytes) {
    const uint64_t count = blocks.size() / block_bytes;
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = Key(first + i);
      redisAppendCommand(context_.get(), "SET %s %b", key.c_str(), blocks.data() + i * block_bytes,
                         static_cast<size_t>(block_bytes));
    }
    for (uint64_t i = 0; i < count; ++i) {
      const Reply reply = NextReply();
      if (reply == nullptr || reply->type != REDIS_REPLY_STATUS) return false;
    }
    return true;
  }

  bool Get(uint64_t first, std::span<std::byte> into, uint64_t block_bytes) {
    const uint64_t count = into.size() / block_bytes;
    for (uint64_t i = 0; i < count; ++i) {
      redisAppendCommand(context_.get(), "GET %s", Key(first + i).c_str());
    }
    for (uint64_t i = 0; i < count; ++i) {
      const Reply reply = NextReply();
      if (reply == nullptr || reply->type != REDIS_REPLY_STRING || reply->len != block_bytes)
        return false;
      std::memcpy(into.data() + i * block_bytes, reply->str, block_bytes);
    }
    return true;
  }

  // SET without hiredis: the command's header, then the payload from where it lies. No other reply
  // may be outstanding.
  bool SetPlain(uint64_t first, std::span<const std::byte> blocks, uint64_t block_bytes) {
    const uint64_t count = blocks.size() / block_bytes;
    for (uint64_t i = 0; i < count; ++i) {
      const std::string header = "*3\r\n" + Bulk("SET") + Bulk(Key(first + i)) + "$" +
                                 std::to_string(block_bytes) + "\r\n";
      if (!SendAll(header.data(), header.size()) ||
          !SendAll(blocks.data() + i * block_bytes, block_bytes) || !SendAll("\r\n", 2)) {
        return false;
      }
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (!ReceiveExactly("+OK\r\n")) return false;
    }
    return true;
  }

  // GET without hiredis: the reply's header, then its payload into place. No other reply may be
  // outstanding.
  bool GetPlain(uint64_t first, std::span<std::byte> into, uint64_t block_bytes) {
    const uint64_t count = into.size() / block_bytes;
    std::string requests;
    for (uint64_t i = 0; i < count; ++i) requests += "*2\r\n" + Bulk("GET") + Bulk(Key(first + i));
    if (!SendAll(requests.data(), requests.size())) return false;
    const std::string header = "$" + std::to_string(block_bytes) + "\r\n";
    for (uint64_t i = 0; i < count; ++i) {
      if (!ReceiveExactly(header) || !ReceiveAll(into.data() + i * block_bytes, block_bytes) ||
          !ReceiveExactly("\r\n")) {
        return false;
      }
    }
    return true;
  }

  // Redis's own account of its process: user and system.
  double ServerCpuSeconds() {
    redisAppendCommand(context_.get(), "INFO cpu");
    const Reply reply = NextReply();
    if (reply == nullptr || reply->type != REDIS_REPLY_STRING) return 0;
    const std::string text(reply->str, reply->len);
    const auto field = [&text](const std::string& name) {
      const size_t at = text.find(name + ":");
      return at == std::string::npos ? 0.0 : std::stod(text.substr(at + name.size() + 1));
    };
    return field("used_cpu_user") + field("used_cpu_sys");
  }

 private:
  static redisContext* Open(const std::string& address) {
    if (address.starts_with("unix:")) return redisConnectUnix(address.substr(5).c_str());
    const size_t colon = address.rfind(':');
    return redisConnect(address.substr(0, colon).c_str(), std::stoi(address.substr(colon + 1)));
  }
  static std::string Key(uint64_t block) { return "block:" + std::to_string(block); }
  static std::string Bulk(const std::string& text) {
    return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
  }

  Reply NextReply() {
    void* reply = nullptr;
    redisGetReply(context_.get(), &reply);
    return Reply(static_cast<redisReply*>(reply), freeReplyObject);
  }
  bool SendAll(const void* bytes, size_t size) {
    return larder::bench::SendAll(context_->fd, bytes, size);
  }
  bool ReceiveAll(void* bytes, size_t size) {
    return larder::bench::ReceiveAll(context_->fd, bytes, size);
  }
  bool ReceiveExactly(std::string_view expected) {
    std::string found(expected.size(), '\0');
    return ReceiveAll(found.data(), found.size()) && found == expected;
  }

  std::unique_ptr<redisContext, decltype(&redisFree)> context_;
};

void Fill(Connection& connection, WorkingSet& blocks) {
  for (uint64_t block = 0; block < blocks.blocks(); ++block) {
    if (!connection.SetPlain(block, blocks.Blocks(block, 1), blocks.block_bytes())) {
      throw std::runtime_error("Redis refused a SET");
    }
  }
}

int Load(const RedisOptions& options, const std::string& address) {
  WorkingSet blocks(options.block_bytes, options.blocks);
  std::vector<std::unique_ptr<Connection>> connections;
  for (uint64_t i = 0; i < options.concurrency; ++i) {
    connections.push_back(std::make_unique<Connection>(address));
  }
  const bool get = options.op == "get";
  const bool plain = options.client == "plain";
  if (get) {
    Fill(*connections[0], blocks);
    blocks.Clear();
  }
  const auto transfer = [&](uint64_t worker, uint64_t first) {
    const std::span<std::byte> span = blocks.Blocks(first, options.batch);
    Connection& connection = *connections[worker];
    if (get) {
      return plain ? connection.GetPlain(first, span, options.block_bytes)
                   : connection.Get(first, span, options.block_bytes);
    }
    return plain ? connection.SetPlain(first, span, options.block_bytes)
                 : connection.Set(first, span, options.block_bytes);
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
  CLI::App app("Redis GET and SET of whole blocks.");
  larder::bench::RedisOptions options;
  std::string address;
  app.add_option("--connect", address, "127.0.0.1:PORT or unix:PATH")->required();
  app.add_option("--client", options.client, "hiredis or plain")
      ->check(CLI::IsMember({"hiredis", "plain"}));
  larder::bench::AddTransferFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    return larder::bench::Load(options, address);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
