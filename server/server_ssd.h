// Opens the SSD tier of a server's configuration.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/config.h"
#include "server/ssd/ssd_tier.h"
#include "server/store/store.h"

namespace larder::server {

// Nothing in it when the configuration names no directory. The parts point to the tier.
struct OpenedSsd {
  std::unique_ptr<SsdTier> tier;
  std::unique_ptr<SsdParts> parts;
};

// `clock` must outlive the tier. Errors: SsdTier::Open's and SecretOf's.
absl::StatusOr<OpenedSsd> OpenSsd(const Config& config, const Clock& clock);

}  // namespace larder::server
