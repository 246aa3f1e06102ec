// Every preset and format of this build as one table, with the size of each as it is: measured on
// Gaussian keys and values of 256 tokens, 128 channels. Pure but for the time it takes: about a
// millisecond for each name.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/format/kv_layout.h"

namespace larder::cli {

struct CodecListing {
  std::string name;
  std::string plan;  // keys "/" values
  Fidelity fidelity = Fidelity::kExact;
  std::string bits;  // formula, "K x; V y" where they differ
  double key_bits = 0;
  double value_bits = 0;
  std::string error;  // of the formats, "K x; V y" where they differ
  std::string needs;
  std::string source;  // of the formats; what it is for, of the presets
};

// Presets first. INTERNAL when the registry names what it can not code.
absl::StatusOr<std::vector<CodecListing>> ListCodecs();

std::string CodecListText(const std::vector<CodecListing>& codecs);
nlohmann::ordered_json CodecListJson(const std::vector<CodecListing>& codecs);

}  // namespace larder::cli
