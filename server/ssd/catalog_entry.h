// Values of the catalog: encoding and checking. Pure functions; FORMAT.md has the bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/ssd/segment_format.h"

namespace larder::server {

std::string EncodeCatalogEntry(const StoredRecord& record, uint64_t seed);
// nullopt unless `value` is exactly what was encoded for this key and seed.
std::optional<StoredRecord> DecodeCatalogEntry(std::string_view key, std::string_view value,
                                               uint64_t seed);

std::string EncodeCatalogNumber(std::string_view key, uint64_t number, uint64_t seed);
std::optional<uint64_t> DecodeCatalogNumber(std::string_view key, std::string_view value,
                                            uint64_t seed);

}  // namespace larder::server
