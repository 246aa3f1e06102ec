# CUDA sources of the kernels, relative to this folder; also read by tests/gpu, which builds without the rest of the project.
set(LARDER_CUDA_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/affine_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/fp8_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/frame_kernels.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/ggml_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/kitty_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/lossless_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/polar_rope_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/polar_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/sketch_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/symbol_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/tiered_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/tile_kernels.cu
  ${CMAKE_CURRENT_LIST_DIR}/codec/device/turbo_tile.cu
  ${CMAKE_CURRENT_LIST_DIR}/paging/row_copy.cu)
