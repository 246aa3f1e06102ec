// Metrics whose values are read at scrape time. They become families on the spot: no state, so scrapes
// may overlap. Private to the metrics.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "prometheus/metric_family.h"
#include "prometheus/metric_type.h"
#include "server/base/metrics.h"

namespace larder::server {

struct SampledFamilies {
  std::vector<prometheus::MetricFamily> families;

  void Add(prometheus::MetricType type, const char* name, const char* help,
           std::vector<std::pair<std::string, double>> values, const char* label = nullptr);
  void AddGauge(const char* name, const char* help, double value) {
    Add(prometheus::MetricType::Gauge, name, help, {{"", value}});
  }
};

const char* TierName(TierKind tier);

void AddSample(const GaugeSample& sample, SampledFamilies& out);

}  // namespace larder::server
