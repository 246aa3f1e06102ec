#include "client/cli/codec_report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "client/cli/quantity.h"
#include "client/cli/table.h"
#include "proto/contract/outcomes.h"

namespace larder::cli {
namespace {

std::string Bits(double bits) { return absl::StrFormat("%.3f", bits); }

// Three digits, whatever the size.
std::string Error(double error) { return error == 0 ? "0" : absl::StrFormat("%.3g", error); }

std::string Rate(double bytes_per_second) {
  return absl::StrFormat("%.2f", bytes_per_second / 1e9);
}

}  // namespace

void SortByBits(std::vector<CodecScore>& scores) {
  std::stable_sort(scores.begin(), scores.end(),
                   [](const CodecScore& a, const CodecScore& b) { return a.bits < b.bits; });
}

std::string CodecReportText(const CodecReport& report) {
  Table table({{"codec"},
               {"bits", Align::kRight},
               {"K", Align::kRight},
               {"V", Align::kRight},
               {"ratio", Align::kRight},
               {"K relMSE", Align::kRight},
               {"V relMSE", Align::kRight},
               {"logit", Align::kRight},
               {"out, K", Align::kRight},
               {"out, KV", Align::kRight},
               {"top-1", Align::kRight},
               {"enc GB/s", Align::kRight},
               {"dec GB/s", Align::kRight}});
  std::string notes;
  for (const CodecScore& score : report.scores) {
    const AttentionScores& errors = score.errors;
    table.AddRow({score.name, Bits(score.bits), Bits(score.key_bits), Bits(score.value_bits),
                  absl::StrFormat("%.2f", score.ratio), Error(errors.key_relative_mse),
                  Error(errors.value_relative_mse), Error(errors.logit_rmse),
                  Error(errors.key_output_error), Error(errors.output_error),
                  absl::StrFormat("%.3f", errors.top1_agreement),
                  Rate(score.encode_bytes_per_second), Rate(score.decode_bytes_per_second)});
    if (score.fallback_streams > 0) {
      notes += absl::StrFormat("%s: %d streams stand raw, their values did not fit the codec\n",
                               score.name, score.fallback_streams);
    }
  }
  return absl::StrFormat("%s; %s\n\n", report.source, FormatBytes(report.bytes)) +
         table.ToString() + "\n" + notes +
         absl::StrFormat(
             "memcpy of the same bytes: %s GB/s. One core; medians of 5.\n"
             "bits: per element with all metadata. ratio: bf16 bytes to whole frames.\n"
             "K relMSE: relative to the energy of keys around each channel's mean.\n"
             "logit: RMSE around each query's mean. out: relative error of attention's output "
             "with\n"
             "keys coded, and with keys and values coded.\n",
             Rate(report.copy_bytes_per_second));
}

nlohmann::ordered_json CodecReportJson(const CodecReport& report) {
  nlohmann::ordered_json codecs = nlohmann::ordered_json::array();
  for (const CodecScore& score : report.scores) {
    codecs.push_back({{"name", score.name},
                      {"fidelity", std::string(FidelityName(score.fidelity))},
                      {"bits_per_element", score.bits},
                      {"key_bits_per_element", score.key_bits},
                      {"value_bits_per_element", score.value_bits},
                      {"ratio_to_16_bits", score.ratio},
                      {"key_relative_mse", score.errors.key_relative_mse},
                      {"value_relative_mse", score.errors.value_relative_mse},
                      {"logit_rmse", score.errors.logit_rmse},
                      {"key_output_error", score.errors.key_output_error},
                      {"output_error", score.errors.output_error},
                      {"top1_agreement", score.errors.top1_agreement},
                      {"inner_product_slope", score.inner_product_slope},
                      {"inner_product_variance", score.inner_product_variance},
                      {"fallback_streams", score.fallback_streams},
                      {"encode_bytes_per_second", score.encode_bytes_per_second},
                      {"decode_bytes_per_second", score.decode_bytes_per_second}});
  }
  return {{"source", report.source},
          {"bytes", report.bytes},
          {"memcpy_bytes_per_second", report.copy_bytes_per_second},
          {"codecs", codecs}};
}

}  // namespace larder::cli
