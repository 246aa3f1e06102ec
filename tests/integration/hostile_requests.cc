#include "tests/integration/hostile_requests.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>

#include "larder/v1/cache.pb.h"
#include "larder/v1/window.pb.h"
#include "tests/integration/hostile_inputs.h"

namespace larder::testing {
namespace {

template <typename Message>
std::optional<Message> Parsed(const HostileAnswer& answer) {
  Message message;
  if (answer.messages.size() != 1 || !message.ParseFromString(answer.messages[0])) return {};
  return message;
}

template <typename Response>
bool StoredNothing(const HostileAnswer& answer) {
  const auto response = Parsed<Response>(answer);
  if (!response || response->results().empty()) return false;
  return std::all_of(response->results().begin(), response->results().end(),
                     [](const auto& result) {
                       return result.outcome() > v1::PUT_OUTCOME_ALREADY_PRESENT &&
                              v1::PutOutcome_IsValid(result.outcome());
                     });
}

bool ReturnedNothing(const HostileAnswer& answer) {
  for (const std::string& bytes : answer.messages) {
    v1::GetResponse response;
    if (!response.ParseFromString(bytes)) return false;
    for (const v1::BlockPart& part : response.parts()) {
      if (part.outcome() != v1::GET_OUTCOME_MISS || !part.payload().empty()) return false;
    }
  }
  return !answer.messages.empty();
}

}  // namespace

std::vector<HostileKind> HostileKinds() {
  std::vector<HostileKind> kinds(HostileCalls().begin(), HostileCalls().end());
  kinds.insert(kinds.end(), HostilePuts().begin(), HostilePuts().end());
  kinds.insert(kinds.end(), HostileWindows().begin(), HostileWindows().end());
  return kinds;
}

bool IsRefusal(const HostileRequest& request, const HostileAnswer& answer) {
  if (request.method == "Cache/Put") return StoredNothing<v1::PutResponse>(answer);
  if (request.method == "Cache/Get") return ReturnedNothing(answer);
  if (request.method == "Windows/PutFromWindow") {
    return StoredNothing<v1::PutFromWindowResponse>(answer);
  }
  if (request.method == "Windows/GetToWindow") {
    const auto response = Parsed<v1::GetToWindowResponse>(answer);
    return response &&
           std::all_of(response->results().begin(), response->results().end(),
                       [](const auto& result) { return result.outcome() > v1::GET_OUTCOME_HIT; });
  }
  if (request.method == "Windows/CloseWindow") {
    const auto response = Parsed<v1::CloseWindowResponse>(answer);
    return response && !response->closed();
  }
  if (request.method == "Cache/Lookup") {
    const auto response = Parsed<v1::LookupResponse>(answer);
    return response && response->blocks().empty() && response->lease_id().empty();
  }
  if (request.method == "Cache/Release") {
    const auto response = Parsed<v1::ReleaseResponse>(answer);
    return response && !response->released();
  }
  if (request.method == "Cache/Retain") {
    const auto response = Parsed<v1::RetainResponse>(answer);
    return response && response->retained_blocks() == 0;
  }
  return false;
}

HostileAnswer Send(grpc::GenericStub& stub, const HostileRequest& request) {
  constexpr std::chrono::seconds kPatience{20};
  constexpr std::chrono::milliseconds kSilence{50};
  grpc::ClientContext context;
  const bool silent = request.end == HostileRequest::End::kSilence;
  context.set_deadline(std::chrono::system_clock::now() + (silent ? kSilence : kPatience));
  for (const auto& [key, value] : request.metadata) context.AddMetadata(key, value);

  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, "/larder.v1." + request.method, &queue);
  call->StartCall(nullptr);
  bool open = done();
  for (size_t i = 0; i < request.messages.size() && open; ++i) {
    const grpc::Slice bytes(request.messages[i]);
    call->Write(grpc::ByteBuffer(&bytes, 1), nullptr);
    open = done();
  }
  if (open && request.end == HostileRequest::End::kHalfClose) {
    call->WritesDone(nullptr);
    done();
  }
  if (request.end == HostileRequest::End::kCancel) context.TryCancel();
  HostileAnswer answer;
  for (grpc::ByteBuffer message;; message.Clear()) {
    call->Read(&message, nullptr);
    if (!done()) break;
    grpc::Slice whole;
    if (!message.DumpToSingleSlice(&whole).ok()) break;
    answer.messages.emplace_back(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  call->Finish(&answer.status, nullptr);
  done();
  return answer;
}

}  // namespace larder::testing
