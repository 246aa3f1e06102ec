# Build type, warnings, sanitizers, compiler cache, linker and CUDA detection.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)  # every program in one place: scripts know where to look

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

include(CheckLinkerFlag)
check_linker_flag(CXX -fuse-ld=mold LARDER_HAVE_MOLD)  # needs the linker and a compiler that knows it
if(LARDER_HAVE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# Every target of ours links this: dialect, warnings, sanitizers, include root.
add_library(larder_build_flags INTERFACE)
add_library(larder::build_flags ALIAS larder_build_flags)
target_compile_features(larder_build_flags INTERFACE cxx_std_20)
target_include_directories(larder_build_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
set(_cxx $<COMPILE_LANGUAGE:CXX>)
target_compile_options(larder_build_flags INTERFACE
  $<${_cxx}:-Wall> $<${_cxx}:-Wextra> $<${_cxx}:-Wno-unused-parameter> $<${_cxx}:-Wno-missing-field-initializers>
  $<$<AND:${_cxx},$<CXX_COMPILER_ID:Clang>>:-Wthread-safety>
  $<$<AND:${_cxx},$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>  # GCC 12 reports std::string's own copies (GCC bug 105651)
  $<$<AND:${_cxx},$<BOOL:${LARDER_WERROR}>>:-Werror>)
target_compile_definitions(larder_build_flags INTERFACE LARDER_VERSION="${PROJECT_VERSION}")

if(LARDER_SANITIZE)
  add_compile_options(-fsanitize=${LARDER_SANITIZE} -fno-omit-frame-pointer -g -O1)
  add_link_options(-fsanitize=${LARDER_SANITIZE})
  if(LARDER_SANITIZE STREQUAL "thread")
    add_compile_definitions(LARDER_THREAD_SANITIZER)  # for tests that race on purpose
  endif()
  if(LARDER_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  set(LARDER_JEMALLOC OFF)  # a sanitizer brings its own allocator
endif()

# CUDA kernels are compiled where nvcc is present, and never instrumented: nvcc's host code does not go with the sanitizers.
set(LARDER_HAVE_CUDA OFF)
if(NOT LARDER_CUDA STREQUAL "OFF" AND NOT LARDER_SANITIZE)
  include(CheckLanguage)
  find_program(LARDER_NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
  if(LARDER_NVCC AND NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${LARDER_NVCC})
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(LARDER_HAVE_CUDA ON)
    # A100, and H100 and H200; the PTX serves later ones.
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90 CACHE STRING "Architectures that CUDA code is built for")
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
  elseif(LARDER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LARDER_CUDA=ON but no CUDA compiler was found; set CMAKE_CUDA_COMPILER to nvcc.")
  endif()
endif()
# Every target with CUDA sources links this. C++20 as an option: CMake 3.25 knows CUDA's dialects only to 17. Every operation is
# rounded once, so that the bytes are the host's: no fused multiply-add, no fast division or square root.
add_library(larder_cuda_flags INTERFACE)
add_library(larder::cuda_flags ALIAS larder_cuda_flags)
target_compile_options(larder_cuda_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr -fmad=false -prec-div=true -prec-sqrt=true -ftz=false>)
target_include_directories(larder_cuda_flags INTERFACE ${PROJECT_SOURCE_DIR})
message(STATUS "larder: build type ${CMAKE_BUILD_TYPE}, CUDA ${LARDER_HAVE_CUDA}, sanitizers '${LARDER_SANITIZE}'")
