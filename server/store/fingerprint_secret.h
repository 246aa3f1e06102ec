// The secret of the fingerprints of a store that keeps blocks over restarts: a file beside them.
//
// Layout: 8 bytes "LARDFPS1", the secret, XXH3-64 of both (little-endian). Written once, with a
// rename, when the directory is new. Whoever loses it loses no bytes but every name: the store then
// misses what it has and overwrites it in time.
#pragma once

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/fingerprint.h"

namespace larder::server {

// Reads the secret of `directory`, which exists, or makes one where it `may_make` it: beside blocks that were named
// with another none would be found. INVALID_ARGUMENT when the file is damaged, missing, or can not be read or written.
absl::StatusOr<std::array<uint8_t, Fingerprinter::kSecretBytes>> SecretOf(
    const std::string& directory, bool may_make);

}  // namespace larder::server
