// Retention as the wire carries it. Internal to the client library.
#pragma once

#include "client/client.h"
#include "larder/v1/cache.pb.h"
#include "proto/contract/convert.h"

namespace larder {

inline v1::Retention ToWire(const Retention& retention) {
  v1::Retention wire;
  if (retention.priority) wire.set_priority(*retention.priority);
  if (retention.priority_duration.count() > 0) {
    *wire.mutable_priority_duration() = DurationToWire(retention.priority_duration);
  }
  if (retention.ttl.count() > 0) *wire.mutable_ttl() = DurationToWire(retention.ttl);
  return wire;
}

}  // namespace larder
