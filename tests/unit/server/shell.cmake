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
# As larderd_faults has it.
larder_test(NAME fault_board_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/base/fault_board_test.cc
    ${PROJECT_SOURCE_DIR}/server/base/fault_board.cc ${PROJECT_SOURCE_DIR}/server/base/fault_flags.cc
    ${PROJECT_SOURCE_DIR}/server/base/planted_bug.cc
  LIBS larder::contract absl::strings LABELS unit)
target_compile_definitions(fault_board_test PRIVATE LARDER_FAULT_POINTS LARDER_PLANTED_BUGS)
