larder_bench(NAME index_bench SOURCES index_bench.cc LIBS larder::store CLI11::CLI11 nlohmann_json::nlohmann_json)
