larder_bench(NAME allocator_bench
  SOURCES allocator_bench.cc
  LIBS larder::memory larder::policy CLI11::CLI11 nlohmann_json::nlohmann_json)
