#include "client/cli/attention_error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

namespace larder::cli {
namespace {

double SquaredDistance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = double{a[i]} - b[i];
    sum += difference * difference;
  }
  return sum;
}

double Energy(std::span<const float> a) {
  double sum = 0;
  for (const float value : a) sum += double{value} * value;
  return sum;
}

double EnergyAroundMean(std::span<const float> rows, uint32_t dim) {
  std::vector<double> sum(dim), squares(dim);
  for (size_t at = 0; at < rows.size(); at += dim) {
    for (uint32_t i = 0; i < dim; ++i) {
      sum[i] += rows[at + i];
      squares[i] += double{rows[at + i]} * rows[at + i];
    }
  }
  const auto count = static_cast<double>(rows.size() / dim);
  double energy = 0;
  for (uint32_t i = 0; i < dim; ++i) energy += squares[i] - sum[i] * sum[i] / count;
  return std::max(energy, 0.0);
}

// Eight sums at once: the build does not let the compiler reorder one.
float Dot(const float* a, const float* b, uint32_t count) {
  std::array<float, 8> sums{};
  uint32_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (uint32_t lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

std::vector<float> Logits(const float* query, std::span<const float> keys, uint32_t dim) {
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  std::vector<float> logits(keys.size() / dim);
  for (size_t t = 0; t < logits.size(); ++t) logits[t] = scale * Dot(query, &keys[t * dim], dim);
  return logits;
}

std::vector<float> Softmax(const std::vector<float>& logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  std::vector<float> weights;
  double sum = 0;
  for (const float logit : logits) {
    weights.push_back(std::exp(logit - top));
    sum += weights.back();
  }
  for (float& weight : weights) weight = static_cast<float>(weight / sum);
  return weights;
}

std::vector<float> Output(const std::vector<float>& weights, std::span<const float> values,
                          uint32_t dim) {
  std::vector<float> output(dim);
  for (size_t t = 0; t < weights.size(); ++t) {
    for (uint32_t i = 0; i < dim; ++i) output[i] += weights[t] * values[t * dim + i];
  }
  return output;
}

double SquaredErrorAroundMean(const std::vector<float>& truth, const std::vector<float>& found) {
  double sum = 0, squares = 0;
  for (size_t t = 0; t < truth.size(); ++t) {
    const double error = double{found[t]} - truth[t];
    sum += error;
    squares += error * error;
  }
  return std::max(squares - sum * sum / static_cast<double>(truth.size()), 0.0);
}

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

void AttentionError::Add(const AttentionHead& head) {
  key_error_ += SquaredDistance(head.keys, head.decoded_keys);
  key_energy_ += EnergyAroundMean(head.keys, head.head_dim_k);
  value_error_ += SquaredDistance(head.values, head.decoded_values);
  value_energy_ += Energy(head.values);
  for (size_t at = 0; at < head.queries.size(); at += head.head_dim_k) {
    const float* query = &head.queries[at];
    const std::vector<float> truth = Logits(query, head.keys, head.head_dim_k);
    const std::vector<float> found = Logits(query, head.decoded_keys, head.head_dim_k);
    logit_error_ += SquaredErrorAroundMean(truth, found);
    logits_ += static_cast<double>(truth.size());
    const auto top = [](const std::vector<float>& logits) {
      return std::max_element(logits.begin(), logits.end()) - logits.begin();
    };
    same_top1_ += top(truth) == top(found) ? 1 : 0;
    queries_ += 1;
    const std::vector<float> weights = Softmax(found);
    const std::vector<float> output = Output(Softmax(truth), head.values, head.head_dim_v);
    output_energy_ += Energy(output);
    key_output_error_ += SquaredDistance(output, Output(weights, head.values, head.head_dim_v));
    output_error_ += SquaredDistance(output, Output(weights, head.decoded_values, head.head_dim_v));
  }
}

AttentionScores AttentionError::Scores() const {
  AttentionScores scores;
  scores.key_relative_mse = Ratio(key_error_, key_energy_);
  scores.value_relative_mse = Ratio(value_error_, value_energy_);
  scores.logit_rmse = std::sqrt(Ratio(logit_error_, logits_));
  scores.key_output_error = std::sqrt(Ratio(key_output_error_, output_energy_));
  scores.output_error = std::sqrt(Ratio(output_error_, output_energy_));
  if (queries_ > 0) scores.top1_agreement = same_top1_ / queries_;
  return scores;
}

}  // namespace larder::cli
