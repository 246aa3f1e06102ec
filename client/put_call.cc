#include "client/put_call.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/device_rows.h"
#include "client/retention_wire.h"
#include "kernels/format/frame.h"
#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_parts.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"

namespace larder {
namespace {

constexpr char kMethod[] = "/larder.v1.Cache/Put";

// Reports the end of a stream once, at the latest at its deadline: gRPC ends a write only when the socket has taken it, and
// from a peer that stands still it learns of that no sooner than its keepalive.
class DeadlineReport {
 public:
  static std::shared_ptr<DeadlineReport> Start(Channel::Report report, SystemTime deadline) {
    const auto self = std::make_shared<DeadlineReport>(std::move(report));
    // The alarm keeps its callback after it has fired, and this owns the alarm: the callback must let go of this.
    self->alarm_.Set(deadline, [held = self](bool fired) mutable {
      const auto kept = std::move(held);
      Channel::Report late = fired ? kept->Take() : nullptr;
      if (late) late(DeadlineSpent("put"));
    });
    return self;
  }
  explicit DeadlineReport(Channel::Report report) : report_(std::move(report)) {}

  // Empty when it is given already: then nobody waits for the stream's results.
  Channel::Report Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(report_, nullptr);
  }
  void Cancel() { alarm_.Cancel(); }

 private:
  std::mutex mutex_;
  Channel::Report report_;
  grpc::Alarm alarm_;
};

// Owns itself: deleted in OnDone.
class PutStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  PutStream(std::shared_ptr<Channel> channel, std::shared_ptr<PutWork> work, SystemTime deadline,
            Channel::Report report)
      : channel_(std::move(channel)),
        work_(std::move(work)),
        report_(DeadlineReport::Start(std::move(report), deadline)) {
    channel_->Prepare(context_, deadline);
    in_flight_.emplace(*channel_, &context_);
    channel_->raw().PrepareBidiStreamingCall(&context_, kMethod, {}, this);
    writer_.SetOpen(OpenOf(*work_, work_->blocks.size()));
    StartRead(&response_);
    WriteNext();
    StartCall();
  }

 private:
  void WriteNext() {
    while (next_ < work_->blocks.size() && writer_.payload_bytes() < kWireChunkBytes) AddChunk();
    message_ = writer_.Take();
    if (next_ == work_->blocks.size()) {
      StartWriteLast(&message_, {});
    } else {
      StartWrite(&message_);
    }
  }

  // As much of the current frame as the message may still take.
  void AddChunk() {
    PartHead head;
    head.index = static_cast<uint32_t>(next_);
    if (piece_ == 0 && piece_used_ == 0) {
      frame_ = FrameOf(*work_, work_->blocks[next_], *channel_);
      head.frame_bytes = frame_.frame_bytes;
      head.retention = ToWire(work_->blocks[next_].retention);
    }
    std::vector<grpc::Slice> slices;
    uint64_t room = kWireChunkBytes - writer_.payload_bytes();
    while (room > 0 && piece_ < frame_.pieces.size()) {
      const auto& piece = frame_.pieces[piece_];
      const size_t step = std::min<uint64_t>(room, piece.bytes.size() - piece_used_);
      slices.push_back(SliceOver(piece.bytes.subspan(piece_used_, step), piece.owner));
      room -= step;
      piece_used_ += step;
      if (piece_used_ == piece.bytes.size()) {
        ++piece_;
        piece_used_ = 0;
      }
    }
    writer_.AddPart(head, std::move(slices));
    if (piece_ == frame_.pieces.size()) {
      frame_ = {};
      piece_ = 0;
      ++next_;
    }
  }

  void OnWriteDone(bool ok) override {
    message_.Clear();
    // Not ok: the server has ended the call early; OnDone brings its reason.
    if (ok && next_ < work_->blocks.size()) WriteNext();
  }

  void OnDone(const grpc::Status& status) override {
    const Channel::Report report = report_->Take();
    report_->Cancel();
    absl::Status result = FromGrpcStatus(status);
    if (report && status.ok()) result = ReadResults();
    delete this;
    if (report) report(result);
  }

  absl::Status ReadResults() {
    std::vector<grpc::Slice> slices;
    std::string bytes;
    if (response_.Valid() && response_.Dump(&slices).ok()) {
      for (const grpc::Slice& slice : slices) {
        bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      }
    }
    v1::PutResponse response;
    if (!response.ParseFromString(bytes) ||
        response.results_size() != static_cast<int>(work_->results.size())) {
      return Bug("the server's PutResponse does not answer every block");
    }
    for (int i = 0; i < response.results_size(); ++i) {
      work_->results[i] = ResultOf(response.results(i));
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<Channel> channel_;
  const std::shared_ptr<PutWork> work_;
  const std::shared_ptr<DeadlineReport> report_;
  grpc::ClientContext context_;
  std::optional<Channel::InFlight> in_flight_;
  PartsWriter writer_;
  grpc::ByteBuffer message_;
  grpc::ByteBuffer response_;
  OutgoingFrame frame_;
  size_t next_ = 0;  // block being sent
  size_t piece_ = 0;
  size_t piece_used_ = 0;
};

}  // namespace

std::shared_ptr<PutWork> PutWorkOf(const Space& space, std::span<const PutBlock> blocks,
                                   const PutOptions& options) {
  auto work = std::make_shared<PutWork>();
  work->space = space;
  work->blocks.assign(blocks.begin(), blocks.end());
  work->codec = options.codec;
  work->durability = options.durability;
  if (options.encode_at == EncodeAt::kClient) work->recipe = RecipeOf(space, options);
  work->results.resize(blocks.size());
  return work;
}

v1::PutOpen OpenOf(const PutWork& work, size_t blocks) {
  v1::PutOpen open;
  open.set_space_id(work.space.id);
  open.set_blocks(static_cast<uint32_t>(blocks));
  open.set_codec(work.codec);
  open.set_durability(static_cast<v1::Durability>(work.durability));
  return open;
}

PutResult ResultOf(const v1::PutResult& wire) {
  return {PutOutcomeFromWire(wire.outcome()), wire.message(), wire.frame_bytes(), wire.durable()};
}

BlockRecipe RecipeOf(const Space& space, const PutOptions& options) {
  std::string why;
  BlockRecipe recipe;
  recipe.plan = ParsePlan(options.codec, &why).value_or(CodecPlan{});
  recipe.edge_plan = ParsePlan("fp8", &why).value_or(CodecPlan{});
  recipe.rope = space.rope;
  recipe.sinks = options.sinks;
  recipe.full_tokens = space.shape.tokens;
  const bool edges = FidelityOf(recipe.plan) < Fidelity::kNear;
  if (edges && space.shape.layers > 2u * options.edge_layers) {
    recipe.edge_layers = options.edge_layers;
  }
  return recipe;
}

OutgoingFrame FrameOf(const PutWork& work, const PutBlock& block, Channel& channel) {
  if (!work.recipe) return Frame(work.space, block);
  return EncodedFrame(*channel.coders().Take(), *work.recipe, work.space, block);
}

absl::Status CheckPut(const Space& space, std::span<const PutBlock> blocks,
                      const PutOptions& options, const DeviceCalls& device) {
  std::string why = "a plan of 'larder codec list', as encode_at is kClient";
  if (options.encode_at == EncodeAt::kClient && !ParsePlan(options.codec, &why)) {
    return InvalidField("codec", options.codec, why);
  }
  if (blocks.empty()) return InvalidField("blocks", "none", "1 or more");
  if (blocks.size() > kPutBlocksMax) return TooMany("blocks", blocks.size(), kPutBlocksMax);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string field = absl::StrCat("blocks[", i, "].");
    const PutBlock& block = blocks[i];
    if (block.hash.empty()) return InvalidField(field + "hash", "empty", "1 to 32 bytes");
    if (block.tokens > space.shape.tokens) {
      return InvalidField(
          field + "tokens", absl::StrCat(block.tokens),
          absl::StrCat("at most the manifest's block_tokens, ", space.shape.tokens));
    }
    const auto raw_bytes = RawBytes(ShapeOf(space, block));
    if (block.rows && block.raw != nullptr) {
      return InvalidField(field + "rows", "beside raw", "one of the two");
    }
    if (device.PlaceOf(block.raw.get()) == MemoryPlace::kElsewhere) {
      return InvalidField(field + "raw", "memory of another device, or of one that fails",
                          "memory of the host or of ClientOptions::device");
    }
    if (block.rows) {
      const absl::Status status =
          CheckRows(device, ShapeOf(space, block), *block.rows, field + "rows");
      if (!status.ok()) return status;
      continue;
    }
    if (!raw_bytes || block.raw == nullptr || block.raw_bytes != *raw_bytes) {
      return InvalidField(field + "raw_bytes", absl::StrCat(block.raw_bytes),
                          absl::StrCat(raw_bytes.value_or(0), " for this shape"));
    }
  }
  return absl::OkStatus();
}

void StartPut(const std::shared_ptr<Channel>& channel, std::shared_ptr<PutWork> work,
              SystemTime deadline, Channel::Report report) {
  new PutStream(channel, std::move(work), deadline, std::move(report));
}

}  // namespace larder
