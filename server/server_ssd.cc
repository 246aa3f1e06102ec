#include "server/server_ssd.h"

#include <string>
#include <utility>

#include "absl/strings/str_split.h"
#include "server/base/log.h"
#include "server/store/fingerprint_secret.h"

namespace larder::server {

absl::StatusOr<OpenedSsd> OpenSsd(const Config& config, const Clock& clock) {
  OpenedSsd opened;
  if (config.ssd_path.empty()) {
    if (!config.ssd_codec.empty() || !config.ssd_codec_by_model.empty()) {
      LogWarn("ssd_codec has no effect without ssd_path");
    }
    return opened;
  }
  SsdOptions options;
  options.directories = absl::StrSplit(config.ssd_path, ',');
  options.budget_bytes = config.ssd_bytes;
  options.staging_bytes = config.ssd_staging_bytes;
  options.write_bytes_per_day = config.ssd_write_bytes_per_day;
  options.scrub_bytes_per_second = config.ssd_scrub_bytes_per_second;
  auto tier = SsdTier::Open(std::move(options), clock);
  if (!tier.ok()) return tier.status();
  opened.tier = *std::move(tier);
  const auto secret = SecretOf(opened.tier->home(), opened.tier->is_new());
  if (!secret.ok()) return secret.status();
  SsdTier* const ssd = opened.tier.get();
  opened.parts = std::make_unique<SsdParts>(
      SsdParts{*ssd, *secret,
               [ssd](const std::function<void(const SsdEntry&)>& visit) {
                 return ssd->Recover(visit);
               },
               [ssd](SsdOwner& owner) { ssd->Start(owner); }});
  return opened;
}

}  // namespace larder::server
