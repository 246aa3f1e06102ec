larder_bench(NAME ssd_bench SOURCES ssd_bench.cc ssd_replay.cc LIBS larder::ssd CLI11::CLI11 nlohmann_json::nlohmann_json)
