// Calls over windows that must not touch a byte: the window they aim at is open, and stays as it is.
#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "larder/v1/window.pb.h"
#include "tests/integration/hostile_inputs.h"

namespace larder::testing {
namespace {

constexpr char kGet[] = "Windows/GetToWindow";
constexpr char kPut[] = "Windows/PutFromWindow";
constexpr char kClose[] = "Windows/CloseWindow";

template <typename Message>
Request Sole(const char* method, const Message& message, std::string client = kWindowClient) {
  return {method, {message.SerializeAsString()}, {{"larder-client", std::move(client)}}};
}

// Good as it is: the resident block into the window's first bytes.
v1::GetToWindowRequest GoodGet(const Target& target) {
  v1::GetToWindowRequest request;
  request.mutable_get()->set_space_id(target.space.id);
  request.mutable_get()->add_prefix_hashes(std::string(target.resident.view()));
  request.set_window_id(target.window_id);
  v1::WindowRange* const range = request.add_targets();
  range->set_bytes(target.window_bytes / 2);
  return request;
}

// Names a block of no meaning; the call's own fields are right.
v1::PutFromWindowRequest EmptyPut(Random& random, const Target& target) {
  v1::PutFromWindowRequest request;
  request.mutable_open()->set_space_id(target.space.id);
  request.mutable_open()->set_blocks(1);
  request.set_window_id(target.window_id);
  v1::WindowPutBlock* const block = request.add_blocks();
  block->set_frame_header(RandomText(random, 256 + random() % 512));
  block->mutable_payload()->set_bytes(random() % target.window_bytes);
  return request;
}

// Another id, near the right one.
std::string Forged(Random& random, std::string id) {
  id[random() % id.size()] ^= static_cast<char>(1u << random() % 8);
  return id;
}

void PutOutside(Random& random, const Target& target, v1::WindowRange* range) {
  const uint64_t bytes = target.window_bytes;
  switch (random() % 4) {
    case 0:  // over the end
      range->set_offset(bytes - 64 * (1 + random() % 16));
      range->set_bytes(64 * 17 + random() % bytes);
      break;
    case 1:  // behind it
      range->set_offset((bytes + random() % (1ull << 40)) / 64 * 64 + 64);
      range->set_bytes(1 + random() % bytes);
      break;
    case 2:  // around the end of 64 bits
      range->set_offset(std::numeric_limits<uint64_t>::max() / 64 * 64 - 64 * (random() % 100));
      range->set_bytes(std::numeric_limits<uint64_t>::max() - random() % 10'000);
      break;
    default:  // longer than the window
      range->set_offset(0);
      range->set_bytes(bytes + 1 + random() % (1ull << 50));
      break;
  }
}

Request GetForgedWindow(Random& random, const Target& target) {
  auto request = GoodGet(target);
  request.set_window_id(Forged(random, target.window_id));
  return Sole(kGet, request);
}
Request GetOddWindow(Random& random, const Target& target) {
  auto request = GoodGet(target);
  request.set_window_id(RandomText(random, random() % 100));
  return Sole(kGet, request);
}
Request GetClosedWindow(Random&, const Target& target) {
  auto request = GoodGet(target);
  request.set_window_id(target.window_closed);
  return Sole(kGet, request);
}
Request GetForeignWindow(Random& random, const Target& target) {
  return Sole(kGet, GoodGet(target), "stranger-" + std::to_string(random() % 1000));
}
Request GetOutside(Random& random, const Target& target) {
  auto request = GoodGet(target);
  PutOutside(random, target, request.mutable_targets(0));
  return Sole(kGet, request);
}
Request GetMisaligned(Random& random, const Target& target) {
  auto request = GoodGet(target);
  request.mutable_targets(0)->set_offset(64 * (random() % 64) + 1 + random() % 63);
  return Sole(kGet, request);
}
Request GetProgressOutside(Random& random, const Target& target) {
  auto request = GoodGet(target);
  v1::WindowRange range;
  PutOutside(random, target, &range);
  request.set_progress_offset(random() % 2 == 0 ? target.window_bytes / 64 * 64
                                                : std::max(range.offset(), target.window_bytes));
  return Sole(kGet, request);
}
Request GetTargetsMissing(Random& random, const Target& target) {
  auto request = GoodGet(target);
  if (random() % 2 == 0) {
    request.clear_targets();
  } else {
    *request.add_targets() = request.targets(0);
  }
  return Sole(kGet, request);
}
// Refused by their outcomes.
Request GetTooSmall(Random& random, const Target& target) {
  auto request = GoodGet(target);
  request.mutable_targets(0)->set_bytes(random() % 256);
  return Sole(kGet, request);
}
Request GetUnknown(Random& random, const Target& target) {
  auto request = GoodGet(target);
  request.mutable_get()->set_prefix_hashes(0, RandomText(random, 32));
  request.set_prefix(random() % 2 == 0);
  return Sole(kGet, request);
}

Request PutForgedWindow(Random& random, const Target& target) {
  auto request = EmptyPut(random, target);
  request.set_window_id(Forged(random, target.window_id));
  return Sole(kPut, request);
}
Request PutForeignWindow(Random& random, const Target& target) {
  return Sole(kPut, EmptyPut(random, target), "stranger");
}
Request PutRangeOutside(Random& random, const Target& target) {
  auto request = EmptyPut(random, target);
  PutOutside(random, target, request.mutable_blocks(0)->mutable_payload());
  return Sole(kPut, request);
}
Request PutBlocksMissing(Random& random, const Target& target) {
  auto request = EmptyPut(random, target);
  request.mutable_open()->set_blocks(2 + random() % 1000);
  return Sole(kPut, request);
}
Request PutBadRetention(Random& random, const Target& target) {
  auto request = EmptyPut(random, target);
  *request.mutable_blocks(0)->mutable_retention() = BadRetention(random);
  return Sole(kPut, request);
}
Request PutGarbage(Random& random, const Target& target) {
  return Sole(kPut, EmptyPut(random, target));
}

Request CloseForged(Random& random, const Target& target) {
  v1::CloseWindowRequest request;
  request.set_window_id(Forged(random, target.window_id));
  return Sole(kClose, request);
}
Request CloseForeign(Random&, const Target& target) {
  v1::CloseWindowRequest request;
  request.set_window_id(target.window_id);
  return Sole(kClose, request, "stranger");
}

constexpr HostileKind kKinds[] = {
    {"get: forged window", 20, Code::FAILED_PRECONDITION, GetForgedWindow},
    {"get: window of odd size", 10, Code::FAILED_PRECONDITION, GetOddWindow},
    {"get: closed window", 20, Code::FAILED_PRECONDITION, GetClosedWindow},
    {"get: another's window", 20, Code::FAILED_PRECONDITION, GetForeignWindow},
    {"get: range outside", 40, Code::INVALID_ARGUMENT, GetOutside},
    {"get: misaligned range", 10, Code::INVALID_ARGUMENT, GetMisaligned},
    {"get: progress outside", 20, Code::INVALID_ARGUMENT, GetProgressOutside},
    {"get: ranges missing", 10, Code::INVALID_ARGUMENT, GetTargetsMissing},
    {"get: range too small", 20, Code::OK, GetTooSmall},
    {"get: unknown block", 10, Code::OK, GetUnknown},
    {"put: forged window", 20, Code::FAILED_PRECONDITION, PutForgedWindow},
    {"put: another's window", 10, Code::FAILED_PRECONDITION, PutForeignWindow},
    {"put: range outside", 40, Code::INVALID_ARGUMENT, PutRangeOutside},
    {"put: blocks missing", 10, Code::INVALID_ARGUMENT, PutBlocksMissing},
    {"put: bad retention over window", 10, Code::INVALID_ARGUMENT, PutBadRetention},
    {"put: garbage over window", 20, std::nullopt, PutGarbage},
    {"close: forged window", 10, Code::OK, CloseForged},
    {"close: another's window", 10, Code::OK, CloseForeign},
};

}  // namespace

std::span<const HostileKind> HostileWindows() { return kKinds; }

}  // namespace larder::testing
