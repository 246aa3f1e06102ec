// LARDER_CHECK aborts on a bug of ours, in every build. Never used on bytes from wire or disk:
// those get a typed error.
#pragma once

#include <cstdio>
#include <cstdlib>

#define LARDER_CHECK(condition)                                                                 \
  do {                                                                                          \
    if (!(condition)) [[unlikely]] {                                                            \
      std::fprintf(stderr, "%s:%d: bug: '%s' does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                             \
    }                                                                                           \
  } while (false)

#ifdef NDEBUG
#define LARDER_DCHECK(condition) \
  do {                           \
  } while (false && (condition))
#else
#define LARDER_DCHECK(condition) LARDER_CHECK(condition)
#endif
