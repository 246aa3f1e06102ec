// Requests that a server must refuse: one generator per kind of malice, each as raw messages, so
// that they may break every rule of the contract, of Protobuf and of the frame format. Reproducible
// from the generator's seed.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "larder/v1/manifest.pb.h"

namespace larder::testing {

// What the requests aim at.
struct HostileTarget {
  Space space;
  v1::Manifest manifest;
  PrefixHash resident;      // a block of the space that is stored
  std::string lease_ended;  // id of a lease that was granted and has expired
  std::string window_id;    // open, kWindowClient's, not to be touched
  uint64_t window_bytes = 0;
  std::string window_closed;  // was open
};
inline constexpr char kWindowClient[] = "window-owner";

struct HostileRequest {
  enum class End { kHalfClose, kCancel, kSilence };

  std::string method;                 // "Cache/Put"
  std::vector<std::string> messages;  // as they go over the wire
  std::vector<std::pair<std::string, std::string>> metadata;
  End end = End::kHalfClose;
  // gRPC answers it and then closes the connection, with whatever else is on it.
  bool closes_connection = false;
};

using Random = std::mt19937_64;

struct HostileKind {
  const char* name;
  // How often among all; expensive kinds have 1.
  int weight;
  // The code it must get; OK: a refused outcome for every block. Nothing: any typed code, or
  // refused outcomes.
  std::optional<grpc::StatusCode> code;
  HostileRequest (*make)(Random& random, const HostileTarget& target);
};

std::vector<HostileKind> HostileKinds();

struct HostileAnswer {
  grpc::Status status;
  std::vector<std::string> messages;
};

// Sends it and waits for the end of the call, which comes by its deadline. Thread-safe.
HostileAnswer Send(grpc::GenericStub& stub, const HostileRequest& request);

// True when an OK answer stored, returned, pinned and released nothing.
bool IsRefusal(const HostileRequest& request, const HostileAnswer& answer);

}  // namespace larder::testing
