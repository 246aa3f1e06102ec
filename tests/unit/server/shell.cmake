# What surrounds the store in the server process: configuration, logs, metrics, the HTTP endpoint.
larder_test(NAME config_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/config_test.cc ${CMAKE_CURRENT_LIST_DIR}/config_tenants_test.cc
  LIBS larder::config LABELS unit)
target_compile_definitions(config_test PRIVATE
  LARDER_EXAMPLE_CONFIG="${CMAKE_CURRENT_LIST_DIR}/../../../deploy/larderd.yaml")
larder_test(NAME log_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/base/log_test.cc
  LIBS larder::base nlohmann_json::nlohmann_json LABELS unit)
larder_test(NAME metrics_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/base/metrics_test.cc
  LIBS larder::base LABELS unit)
larder_test(NAME http_endpoint_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/base/http_endpoint_test.cc
  LIBS larder::base LABELS unit)
