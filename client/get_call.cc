#include "client/get_call.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/device_rows.h"
#include "client/frame_receiver.h"
#include "proto/contract/errors.h"
#include "proto/contract/grpc_parts.h"
#include "proto/contract/grpc_status.h"
#include "proto/contract/limits.h"

namespace larder {
namespace {

constexpr char kMethod[] = "/larder.v1.Cache/Get";

// Owns itself: deleted in OnDone.
class GetStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                        private PartReader {
 public:
  GetStream(std::shared_ptr<Channel> channel, std::shared_ptr<GetWork> work, SystemTime deadline,
            Channel::Report report)
      : channel_(std::move(channel)), work_(std::move(work)), report_(std::move(report)) {
    channel_->Prepare(context_, deadline);
    in_flight_.emplace(*channel_, &context_);
    channel_->raw().PrepareBidiStreamingCall(&context_, kMethod, {}, this);
    const grpc::Slice bytes(RequestOf(*work_, work_->pending).SerializeAsString());
    request_ = grpc::ByteBuffer(&bytes, 1);
    StartWriteLast(&request_, {});
    StartRead(&message_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone brings the reason
    broken_ = ReadParts(&message_, *this);
    message_.Clear();
    if (!broken_.ok()) {
      context_.TryCancel();
      return;
    }
    StartRead(&message_);
  }

  absl::Status OnOpen(const v1::PutOpen&) override {
    return BrokenStream("PutRequest.open in a GetResponse", "parts only");
  }

  absl::Status OnPart(const PartHead& head) override {
    if (head.outcome == v1::GET_OUTCOME_UNSPECIFIED) return absl::OkStatus();
    if (receiver_ || head.index != next_ || head.index >= work_->pending.size()) {
      return BrokenStream("a block out of turn", "blocks in the order asked");
    }
    GetResult& result = work_->results[work_->pending[head.index]];
    result = {};
    if (head.outcome != v1::GET_OUTCOME_HIT) {
      result.miss_reason = MissReasonFromWire(head.miss_reason);
      ++next_;
      return absl::OkStatus();
    }
    const uint32_t index = work_->pending[head.index];
    const auto destination = work_->blocks[index].destination;
    result.frame_bytes = head.frame_bytes;
    expected_ = ExpectedOf(*work_, index);
    receiver_.emplace(expected_, head.frame_bytes, destination, channel_->coders(),
                      FrameReceiver::Options{.view = destination.empty(),
                                             .encoded = GoesToDevice(*work_, index)});
    teller_.emplace(work_->options);
    received_ = 0;
    return absl::OkStatus();
  }

  absl::Status OnPayload(const PartHead& head, std::span<const std::byte> payload) override {
    if (!receiver_ || head.index != next_)
      return BrokenStream("payload of no block", "payload of the last hit");
    const uint32_t index = work_->pending[next_];
    GetResult& result = work_->results[index];
    received_ += payload.size();
    if (received_ > result.frame_bytes)
      return BrokenStream("payload beyond its frame", "frame_bytes bytes");
    receiver_->Write(payload);
    const bool to_device = GoesToDevice(*work_, index);
    if (!to_device) teller_->Tell(index, receiver_->layers_ready());
    if (received_ < result.frame_bytes) return absl::OkStatus();
    if (receiver_->Finish()) {
      TakeResult(*receiver_, *work_, result);
      if (to_device) {
        work_->device->Start(index, *receiver_, channel_->coders(), /*window=*/nullptr);
        result.view = {};
        result.owner = nullptr;
      }
    } else {
      result.miss_reason = MissReason::kCorrupt;
      damaged_.push_back(index);
    }
    receiver_.reset();
    ++next_;
    return absl::OkStatus();
  }

  void OnDone(const grpc::Status& status) override {
    absl::Status result = broken_.ok() ? FromGrpcStatus(status) : broken_;
    if (result.ok() && next_ != work_->pending.size()) {
      result = Bug("the server's answer to Get ended before every block was answered");
    }
    if (result.ok()) work_->pending = std::move(damaged_);
    const Channel::Report report = std::move(report_);
    delete this;
    report(result);
  }

  const std::shared_ptr<Channel> channel_;
  const std::shared_ptr<GetWork> work_;
  Channel::Report report_;
  grpc::ClientContext context_;
  std::optional<Channel::InFlight> in_flight_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer message_;
  ExpectedFrame expected_;
  std::optional<FrameReceiver> receiver_;
  std::optional<LayersTeller> teller_;
  uint64_t received_ = 0;
  uint32_t next_ = 0;  // position in pending of the block being answered
  std::vector<uint32_t> damaged_;
  absl::Status broken_;
};

}  // namespace

std::shared_ptr<GetWork> GetWorkOf(const Space& space, std::span<const GetBlock> blocks,
                                   const GetOptions& options) {
  auto work = std::make_shared<GetWork>();
  work->space = space;
  work->blocks.assign(blocks.begin(), blocks.end());
  work->options = options;
  work->results.resize(blocks.size());
  for (uint32_t i = 0; i < blocks.size(); ++i) work->pending.push_back(i);
  return work;
}

v1::GetRequest RequestOf(const GetWork& work, std::span<const uint32_t> indices) {
  v1::GetRequest request;
  request.set_space_id(work.space.id);
  request.mutable_prefix_hashes()->Reserve(static_cast<int>(indices.size()));
  for (const uint32_t index : indices) {
    request.add_prefix_hashes(std::string(work.blocks[index].hash.view()));
  }
  request.set_fidelity_min(static_cast<v1::Fidelity>(work.options.fidelity_min));
  request.set_lease_id(work.options.lease_id);
  request.set_verify_at_server(work.verify_at_server);
  return request;
}

ExpectedFrame ExpectedOf(const GetWork& work, uint32_t index) {
  return {work.space.digest, work.space.manifest_digest, work.blocks[index].hash, work.space.shape};
}

void TakeResult(FrameReceiver& receiver, const GetWork& work, GetResult& result) {
  result.hit = true;
  result.raw_bytes = receiver.raw_bytes();
  result.tokens = receiver.tokens();
  result.fidelity = receiver.fidelity();
  if (work.options.keep_frame_header) result.frame_header = std::move(receiver.header_region());
  result.view = receiver.view();
  result.owner = receiver.view_memory();
}

absl::Status CheckGet(const Space& space, std::span<const GetBlock> blocks,
                      const DeviceCalls& device) {
  if (blocks.empty()) return InvalidField("blocks", "none", "1 or more");
  if (blocks.size() > kGetBlocksMax) return TooMany("blocks", blocks.size(), kGetBlocksMax);
  const uint64_t raw_bytes = RawBytes(space.shape).value_or(0);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const std::string field = absl::StrCat("blocks[", i, "].");
    if (blocks[i].hash.empty()) return InvalidField(field + "hash", "empty", "1 to 32 bytes");
    if (!blocks[i].destination.empty() && blocks[i].rows) {
      return InvalidField(field + "rows", "beside a destination", "one of the two");
    }
    if (device.PlaceOf(blocks[i].destination.data()) == MemoryPlace::kElsewhere) {
      return InvalidField(field + "destination", "memory of another device, or of one that fails",
                          "memory of the host or of ClientOptions::device");
    }
    if (blocks[i].rows) {
      const absl::Status status = CheckRows(device, space.shape, *blocks[i].rows, field + "rows");
      if (!status.ok()) return status;
    } else if (!blocks[i].destination.empty() && blocks[i].destination.size() < raw_bytes) {
      return InvalidField(
          field + "destination", absl::StrCat(blocks[i].destination.size(), " bytes"),
          absl::StrCat(raw_bytes, " bytes or more, for a full block of this space"));
    }
  }
  return absl::OkStatus();
}

void StartGet(const std::shared_ptr<Channel>& channel, std::shared_ptr<GetWork> work,
              SystemTime deadline, Channel::Report report) {
  new GetStream(channel, std::move(work), deadline, std::move(report));
}

}  // namespace larder
