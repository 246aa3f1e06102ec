larder_test(NAME ssd_tier_test
  SOURCES ssd/ssd_health_test.cc ssd/ssd_parts_test.cc ssd/ssd_tier_test.cc
  LIBS larder::ssd larder::fakes
  LABELS unit)
