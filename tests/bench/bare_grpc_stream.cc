// What a bare gRPC stream of ByteBuffers moves over loopback, without any store: what Larder's
// inline plane is measured against.
//
//   bare_grpc_stream --serve [--block-bytes N --blocks N]                   prints the ready line,
//   serves until TERM bare_grpc_stream --connect 127.0.0.1:PORT --op get|put [load flags]     one
//   channel, one call per worker
//
// One bidirectional call per worker stays open for the whole run, or with --call-per-op one call
// per operation, as a client library makes. A GET is a 24-byte request answered by the blocks in
// messages of --message-bytes, static slices of the server's working set, which the client copies
// into its own. A PUT is a request followed by such messages; the server copies them into its
// working set and answers with one byte. The same two copies that the inline plane makes, and
// nothing else: no keys, no index, no checksums.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <condition_variable>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/transfer_load.h"

namespace larder::bench {
namespace {

struct StreamOptions : TransferOptions {
  uint64_t message_bytes = 1 << 20;
  bool call_per_op = false;
};

enum class Verb : uint64_t { kGet, kPut, kCpuSeconds };

struct Request {
  Verb verb;
  uint64_t first;
  uint64_t count;
};

// The slice does not own the bytes: working sets outlive every call.
grpc::ByteBuffer StaticMessage(const void* bytes, size_t size) {
  const grpc::Slice slice(bytes, size, grpc::Slice::STATIC_SLICE);
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer CopiedMessage(const void* bytes, size_t size) {
  const grpc::Slice slice(bytes, size);
  return grpc::ByteBuffer(&slice, 1);
}

// Copies a message, whichever way it was cut, to the front of `into`. Returns its length, or 0 when
// it does not fit.
size_t CopyOut(const grpc::ByteBuffer& message, std::span<std::byte> into) {
  std::vector<grpc::Slice> slices;
  if (message.Length() > into.size() || !message.Dump(&slices).ok()) return 0;
  size_t copied = 0;
  for (const grpc::Slice& slice : slices) {
    std::memcpy(into.data() + copied, slice.begin(), slice.size());
    copied += slice.size();
  }
  return copied;
}

// Sends a span message by message: how far it got.
struct Outgoing {
  std::span<const std::byte> rest;

  grpc::ByteBuffer Next(size_t message_bytes) {
    const auto chunk = rest.first(std::min(rest.size(), message_bytes));
    rest = rest.subspan(chunk.size());
    return StaticMessage(chunk.data(), chunk.size());
  }
};

// Server side of one call. The callbacks of one reactor never overlap: a read starts only when no
// write is left to do.
class ServerStream : public grpc::ServerGenericBidiReactor {
 public:
  ServerStream(WorkingSet& blocks, size_t message_bytes)
      : blocks_(blocks), message_bytes_(message_bytes) {
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (!receiving_.empty()) return OnPayload();
    Request request;
    if (CopyOut(incoming_, std::as_writable_bytes(std::span(&request, 1))) != sizeof(request) ||
        request.first > blocks_.blocks() || request.count > blocks_.blocks() - request.first) {
      return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a request"));
    }
    if (request.verb == Verb::kCpuSeconds) {
      const double seconds = ProcessCpuSeconds();
      return Write(CopiedMessage(&seconds, sizeof(seconds)));
    }
    const std::span<std::byte> span = blocks_.Blocks(request.first, request.count);
    if (request.verb == Verb::kPut) {
      receiving_ = span;
      return StartRead(&incoming_);
    }
    sending_.rest = span;
    Write(sending_.Next(message_bytes_));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    if (!sending_.rest.empty()) return Write(sending_.Next(message_bytes_));
    StartRead(&incoming_);
  }

  void OnDone() override { delete this; }

 private:
  void OnPayload() {
    const size_t copied = CopyOut(incoming_, receiving_);
    if (copied == 0) {
      return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a piece of the blocks"));
    }
    receiving_ = receiving_.subspan(copied);
    if (!receiving_.empty()) return StartRead(&incoming_);
    const char ack = 1;
    Write(CopiedMessage(&ack, sizeof(ack)));
  }

  void Write(grpc::ByteBuffer message) {
    outgoing_ = std::move(message);
    StartWrite(&outgoing_);
  }

  WorkingSet& blocks_;
  const size_t message_bytes_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  Outgoing sending_;
  std::span<std::byte> receiving_;
};

class BlockService : public grpc::CallbackGenericService {
 public:
  BlockService(WorkingSet& blocks, size_t message_bytes)
      : blocks_(blocks), message_bytes_(message_bytes) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new ServerStream(blocks_, message_bytes_);
  }

 private:
  WorkingSet& blocks_;
  const size_t message_bytes_;
};

// Client side of one call. One operation at a time; the caller blocks in Get or Put, the callbacks
// do the work.
class ClientStream : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  ClientStream(grpc::GenericStub& stub, size_t message_bytes) : message_bytes_(message_bytes) {
    stub.PrepareBidiStreamingCall(&context_, "/larder.bench/Blocks", grpc::StubOptions(), this);
    AddHold();  // between operations nothing is in flight, yet the call goes on
    StartCall();
  }
  // Waits for the call's end: no callback runs afterwards.
  ~ClientStream() override {
    StartWritesDone();
    RemoveHold();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return call_over_; });
  }

  bool Get(uint64_t first, uint64_t count, std::span<std::byte> into) {
    return Run({Verb::kGet, first, count}, {}, into);
  }
  bool Put(uint64_t first, uint64_t count, std::span<const std::byte> from) {
    std::byte ack{};
    return Run({Verb::kPut, first, count}, from, {&ack, 1});
  }
  double ServerCpuSeconds() {
    double seconds = 0;
    Run({Verb::kCpuSeconds, 0, 0}, {}, std::as_writable_bytes(std::span(&seconds, 1)));
    return seconds;
  }

  void OnWriteDone(bool ok) override {
    if (ok && !sending_.rest.empty()) return WriteNext();
    EndHalf(ok);
  }
  void OnReadDone(bool ok) override {
    const size_t copied = ok ? CopyOut(incoming_, receiving_) : 0;
    receiving_ = receiving_.subspan(copied);
    if (copied > 0 && !receiving_.empty()) return StartRead(&incoming_);
    EndHalf(copied > 0);
  }
  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) std::cerr << "call failed: " << status.error_message() << "\n";
    const std::lock_guard lock(mutex_);
    call_over_ = true;
    ended_.notify_all();
  }

 private:
  bool Run(const Request& request, std::span<const std::byte> from, std::span<std::byte> into) {
    halves_open_ = 2;
    succeeded_ = true;
    sending_.rest = from;
    receiving_ = into;
    outgoing_ = CopiedMessage(&request, sizeof(request));
    StartRead(&incoming_);
    StartWrite(&outgoing_);
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return halves_open_ == 0; });
    return succeeded_;
  }
  // The reply can arrive before the last write is reported: an operation is over when both halves
  // are.
  void EndHalf(bool ok) {
    const std::lock_guard lock(mutex_);
    succeeded_ = succeeded_ && ok;
    if (--halves_open_ == 0) ended_.notify_all();
  }
  void WriteNext() {
    outgoing_ = sending_.Next(message_bytes_);
    StartWrite(&outgoing_);
  }

  const size_t message_bytes_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  Outgoing sending_;
  std::span<std::byte> receiving_;
  std::mutex mutex_;
  std::condition_variable ended_;
  int halves_open_ = 0;
  bool succeeded_ = false;
  bool call_over_ = false;
};

int Serve(const StreamOptions& options) {
  WorkingSet blocks(options.block_bytes, options.blocks);
  BlockService service(blocks, options.message_bytes);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "cannot listen on loopback\n";
    return 1;
  }
  PrintReady("127.0.0.1:" + std::to_string(port));
  server->Wait();
  return 0;
}

int Load(const StreamOptions& options, const std::string& address) {
  WorkingSet blocks(options.block_bytes, options.blocks);
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  std::vector<std::unique_ptr<ClientStream>> streams;
  for (uint64_t i = 0; i < options.concurrency && !options.call_per_op; ++i) {
    streams.push_back(std::make_unique<ClientStream>(stub, options.message_bytes));
  }
  const bool get = options.op == "get";
  if (get) blocks.Clear();
  const auto run = [&](ClientStream& stream, uint64_t first) {
    const std::span<std::byte> span = blocks.Blocks(first, options.batch);
    return get ? stream.Get(first, options.batch, span) : stream.Put(first, options.batch, span);
  };
  const auto transfer = [&](uint64_t worker, uint64_t first) {
    if (!options.call_per_op) return run(*streams[worker], first);
    ClientStream stream(stub, options.message_bytes);
    return run(stream, first);
  };
  const auto server_cpu = [&] {
    return ClientStream(stub, options.message_bytes).ServerCpuSeconds();
  };
  const int rc = RunTransferLoad(options, transfer, server_cpu);
  if (rc == 0 && !blocks.IsIntact(0)) {
    std::cerr << "block 0 arrived with wrong bytes\n";
    return 1;
  }
  return rc;
}

}  // namespace
}  // namespace larder::bench

int main(int argc, char** argv) {
  CLI::App app("A bare gRPC stream of ByteBuffers, without a store.");
  larder::bench::StreamOptions options;
  bool serve = false;
  std::string address;
  auto* mode = app.add_option_group("mode")->require_option(1);
  mode->add_flag("--serve", serve, "Serve the working set on a free loopback port");
  mode->add_option("--connect", address, "Run the load against this server");
  app.add_option("--message-bytes", options.message_bytes)->check(CLI::Range(1, 4 << 20));
  app.add_flag("--call-per-op", options.call_per_op, "One call per operation");
  larder::bench::AddTransferFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  return serve ? larder::bench::Serve(options) : larder::bench::Load(options, address);
}
