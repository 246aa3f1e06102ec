// Scores of codecs for people (one table, fewest bits first), for programs (JSON) and as a picture.
// Pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/cli/codec_eval.h"

namespace larder::cli {

// What was measured, besides the scores.
struct CodecReport {
  std::string source;  // "synthetic keys-b, 3 layers of 4 heads, ..."
  uint64_t bytes = 0;
  double copy_bytes_per_second = 0;
  std::vector<CodecScore> scores;
};

void SortByBits(std::vector<CodecScore>& scores);

std::string CodecReportText(const CodecReport& report);
nlohmann::ordered_json CodecReportJson(const CodecReport& report);

// An SVG picture of output error (keys and values coded) against bits per element, both
// logarithmic, one labelled point for each score. Codecs without error stand on the bottom line.
std::string CodecReportSvg(const CodecReport& report);

}  // namespace larder::cli
