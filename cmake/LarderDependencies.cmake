# Every third-party package, found once, here. All are Debian 12 / Ubuntu 24.04 packages (deploy/packages.txt);
# UCX may be newer (deploy/install_ucx.sh).

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)      # before gRPC: its config file expects protobuf's targets
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(civetweb CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(hwy CONFIG REQUIRED)
# What deploy/install_ucx.sh has fetched, else the distribution's. Sanitizers know the latter's habits.
set(LARDER_UCX_ROOT "${PROJECT_SOURCE_DIR}/build/ucx" CACHE PATH "A UCX that is preferred to the distribution's")
unset(ucx_DIR CACHE)                   # so that one which is fetched later is found
if(NOT LARDER_SANITIZE)
  find_package(ucx CONFIG QUIET PATHS "${LARDER_UCX_ROOT}" NO_DEFAULT_PATH)
endif()
if(NOT ucx_FOUND)
  find_package(ucx CONFIG REQUIRED)    # link ucx::ucp and ucx::ucs: ucp alone lacks ucs_status_string
endif()
message(STATUS "larder: UCX ${ucx_VERSION} of ${ucx_DIR}")
find_package(RocksDB CONFIG REQUIRED)  # RocksDB::rocksdb-shared
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)

# gRPC runs at half speed on glibc malloc (every large message is mapped and unmapped), so programs link this.
add_library(larder_allocator INTERFACE)
add_library(larder::allocator ALIAS larder_allocator)
if(LARDER_JEMALLOC)
  find_library(JEMALLOC_LIBRARY jemalloc)
  if(JEMALLOC_LIBRARY)
    target_link_libraries(larder_allocator INTERFACE -Wl,--no-as-needed ${JEMALLOC_LIBRARY} -Wl,--as-needed)
  else()
    message(WARNING "jemalloc not found: gRPC payload throughput will be roughly halved (install libjemalloc-dev).")
  endif()
endif()
