larder_test(NAME host_arena_test
  SOURCES memory/host_arena_test.cc
  LIBS larder::memory
  LABELS unit)
larder_test(NAME slab_allocator_test
  SOURCES memory/slab_allocator_test.cc
  LIBS larder::memory
  LABELS unit)
larder_test(NAME memory_tier_test
  SOURCES memory/copy_queue_test.cc memory/cuda_arena_test.cc tier/device_tier_test.cc tier/memory_tier_test.cc
  LIBS larder::tier larder::fakes
  LABELS unit)
larder_test(NAME eviction_order_test
  SOURCES policy/ghost_table_test.cc policy/lfuda_order_test.cc policy/lru_order_test.cc policy/s3fifo_order_test.cc
  LIBS larder::policy
  LABELS unit)
larder_test(NAME priority_order_test
  SOURCES policy/priority_order_test.cc policy/tenant_order_test.cc
  LIBS larder::policy
  LABELS unit)
