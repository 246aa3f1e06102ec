larder_test(NAME ssd_tier_test
  SOURCES ssd/ssd_tier_test.cc
  LIBS larder::ssd larder::fakes
  LABELS unit)
