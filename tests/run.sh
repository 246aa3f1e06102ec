#!/usr/bin/env bash
# Installs the packages, builds, and runs every test that needs no GPU and no RDMA device.
#
#   tests/run.sh [--fast] [--label REGEX]
#
#   --fast          only the release build and its tests, without the sanitizers and the fuzz targets
#   --label REGEX   only tests with a label that matches, in every stage (unit, integration, fault, slow, tidy, fuzz)
#
# One line per stage when all is well; the log's end when a stage fails, and the later stages still run. The last line is
# "N passed, N failed", summed over the stages; a build that fails counts as one failure. Writes into build/ only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/stage.sh

fast="" label="." no_tests=error
while (($# > 0)); do
  case $1 in
    --fast) fast=1 ;;
    --label) label=${2:?--label needs a regular expression} no_tests=ignore; shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' tests/run.sh; exit 0 ;;
    *) echo "run.sh: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

readonly logs=build/log
export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache}
export CLICOLOR_FORCE=0 GTEST_COLOR=no
jobs=$(nproc)
trap 'rc=$?; trap "" INT TERM HUP; stage_stop; exit $rc' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

passed=0 failed=0

# build_in NAME TARGET CMAKE_FLAG...: configures and builds build/NAME.
build_in() {
  local name=$1 target=$2
  shift 2
  if stage "$name: configure" "$logs/$name-configure.log" cmake -S . -B "build/$name" -G Ninja "$@" &&
    stage "$name: build" "$logs/$name-build.log" cmake --build "build/$name" --target "$target" --parallel "$jobs"; then
    return 0
  fi
  failed=$((failed + 1))
  return 1
}

# junit_count ATTRIBUTE FILE: a number of the <testsuite> element that ctest writes.
junit_count() {
  sed -n 's/^[[:space:]]*'"$1"'="\([0-9]*\)".*/\1/p' "$2" | head -n 1
}

# test_in NAME CTEST_FLAG...: runs the tests of build/NAME and adds to the counts.
test_in() {
  local name=$1 junit=$PWD/build/$1/junit.xml rc=0 total bad skipped
  shift
  rm -f "$junit"
  stage "$name: test" "$logs/$name-test.log" ctest --test-dir "build/$name" --output-on-failure --no-tests="$no_tests" \
    --parallel "$jobs" --label-regex "$label" --output-junit "$junit" "$@" || rc=$?
  if [[ ! -s $junit ]]; then  # no test has the label, or ctest itself failed
    ((rc == 0)) || failed=$((failed + 1))
    return 0
  fi
  total=$(junit_count tests "$junit")
  bad=$(junit_count failures "$junit")
  skipped=$(($(junit_count skipped "$junit") + $(junit_count disabled "$junit")))
  ((rc == 0 || bad > 0)) || bad=1
  passed=$((passed + total - bad - skipped))
  failed=$((failed + bad))
  ((skipped == 0)) || echo "    $skipped of $total skipped; see $logs/$name-test.log"
}

readonly clang=(-DCMAKE_CXX_COMPILER=clang++ -DLARDER_CUDA=OFF -DCMAKE_BUILD_TYPE=Debug -DLARDER_WERROR=ON -DLARDER_BUILD_BENCH=OFF)

deploy/install_packages.sh build test
deploy/install_ucx.sh

# CUDA code is compiled where nvcc is present, so that it can not rot; tests/gpu.sh runs it.
if build_in release all -DCMAKE_BUILD_TYPE=Release -DLARDER_WERROR=ON -DLARDER_CUDA=AUTO; then
  test_in release --label-exclude '^(gpu|fuzz)$'
fi

if [[ -z $fast ]]; then
  if build_in asan all "${clang[@]}" -DLARDER_SANITIZE=address,undefined; then
    UBSAN_OPTIONS=print_stacktrace=1 test_in asan --label-exclude '^(gpu|fuzz|tidy|integration|slow)$'
  fi
  # The suppressions file says what TSan can not see and what it still checks.
  if build_in tsan all "${clang[@]}" -DLARDER_SANITIZE=thread; then
    TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:suppressions=$PWD/tests/tsan_suppressions.txt" \
      test_in tsan --label-exclude '^(gpu|fuzz|tidy|integration|fault|slow)$'
  fi
  if build_in fuzz fuzz "${clang[@]}" -DLARDER_BUILD_TESTS=OFF -DLARDER_BUILD_FUZZ=ON -DLARDER_JEMALLOC=OFF; then
    test_in fuzz --label-exclude '^gpu$'
  fi
fi

echo "$passed passed, $failed failed"
((failed == 0))
