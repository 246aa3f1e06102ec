// How far attention over decoded keys and values is from attention over the true ones.
//
// Per head: queries [query][head_dim_k], keys [token][head_dim_k], values [token][head_dim_v], fp32;
// logits are q.k / sqrt(head_dim_k), every query sees every token. Over all heads together:
//   key_relative_mse    |k' - k|^2 over the energy of keys around their mean of each channel, as an
//                       offset that all keys share changes no attention
//   value_relative_mse  |v' - v|^2 over |v|^2
//   logit_rmse          of each query's logit errors around their mean (softmax ignores the mean)
//   key_output_error    |o' - o| over |o|, o' with decoded keys and true values
//   output_error        the same with decoded keys and decoded values
//   top1_agreement      share of queries whose strongest token stays so; equal logits: the first
// Cost  head_dim * tokens * queries * 5 multiplications per head. Thread-compatible. Deterministic.
#pragma once

#include <cstdint>
#include <span>

namespace larder::cli {

// Rows of one head; `decoded_*` have the sizes of their originals.
struct AttentionHead {
  uint32_t head_dim_k = 0;
  uint32_t head_dim_v = 0;
  std::span<const float> queries;
  std::span<const float> keys;
  std::span<const float> values;
  std::span<const float> decoded_keys;
  std::span<const float> decoded_values;
};

struct AttentionScores {
  double key_relative_mse = 0;
  double value_relative_mse = 0;
  double logit_rmse = 0;
  double key_output_error = 0;
  double output_error = 0;
  double top1_agreement = 1;
};

class AttentionError {
 public:
  void Add(const AttentionHead& head);
  // Zero errors where nothing was added.
  AttentionScores Scores() const;

 private:
  // Sums of squares.
  double key_error_ = 0, key_energy_ = 0;
  double value_error_ = 0, value_energy_ = 0;
  double logit_error_ = 0, logits_ = 0;
  double key_output_error_ = 0, output_error_ = 0, output_energy_ = 0;
  double same_top1_ = 0, queries_ = 0;
};

}  // namespace larder::cli
