# The project of tests/gpu/CMakeLists.txt when it is configured by itself.
project(larder_gpu LANGUAGES CXX)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(LARDER_CUDA ON)
set(LARDER_ROOT ${CMAKE_CURRENT_SOURCE_DIR}/../..)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(PROJECT_SOURCE_DIR ${LARDER_ROOT})  # what LarderOptions.cmake calls the root
include(${LARDER_ROOT}/cmake/LarderOptions.cmake)
find_package(Threads REQUIRED)
enable_testing()

# The host's codecs in their scalar forms. A listing by pattern, as the list is kernels/CMakeLists.txt's; frames, which need xxHash,
# stay outside: payloads do not.
file(GLOB _codec_sources ${LARDER_ROOT}/kernels/codec/*.cc ${LARDER_ROOT}/kernels/codec/device/*.cc
  ${LARDER_ROOT}/kernels/paging/*.cc ${LARDER_ROOT}/kernels/format/kv_layout.cc)
list(FILTER _codec_sources EXCLUDE REGEX "_simd\\.cc$|/block_coder\\.cc$|/check_codecs\\.cc$")
add_library(larder_codec STATIC ${_codec_sources} scalar_only.cc)
add_library(larder::codec ALIAS larder_codec)
target_link_libraries(larder_codec PUBLIC larder::build_flags Threads::Threads)
target_compile_options(larder_codec PRIVATE -ffp-contract=off)

include(${LARDER_ROOT}/kernels/cuda_sources.cmake)
add_library(larder_codec_cuda STATIC ${LARDER_CUDA_SOURCES})
add_library(larder::codec_cuda ALIAS larder_codec_cuda)
target_link_libraries(larder_codec_cuda
  PUBLIC larder::codec CUDA::cudart_static
  PRIVATE larder::cuda_flags)
