#!/usr/bin/env bash
# Builds the CUDA kernels, their checks and their benchmark, and runs them on this machine's GPU. Needs nvcc, g++ and CMake; no
# network, no other package.
#
#   tests/gpu.sh [--blocks N] [--sanitize] [--server] [--log FOLDER]
#
#   --blocks N    random blocks of each codec to compare with the scalar reference (default 10000)
#   --sanitize    the checks once more, on few blocks, under compute-sanitizer's memcheck and racecheck
#   --server      the server, too: the HBM tier's arena, the store's moves and reads over it, and encoding on ingest; needs the packages
#                 of deploy/packages.txt
#   --log FOLDER  where build logs and the table go (default build/gpu/log)
#
# Prints one table: the outcome of each check, then encode and decode GB/s beside the device's copy bandwidth. Exit status: 0 when
# all is well, 1 when a build or a check failed, 77 when there is no GPU: everything is then built, and nothing was tested.
# Writes into build/gpu and FOLDER only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/stage.sh

blocks=10000 sanitize="" server="" logs=build/gpu/log
while (($# > 0)); do
  case $1 in
    --blocks) blocks=${2:?--blocks needs a number}; shift ;;
    --sanitize) sanitize=1 ;;
    --server) server=1 ;;
    --log) logs=${2:?--log needs a folder}; shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' tests/gpu.sh; exit 0 ;;
    *) echo "gpu.sh: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
trap 'rc=$?; trap "" INT TERM HUP; stage_stop; jobs -p | xargs -r kill 2>/dev/null; exit $rc' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
stage "gpu: configure" "$logs/configure.log" cmake -S tests/gpu -B build/gpu "${generator[@]}" -DCMAKE_BUILD_TYPE=Release
stage "gpu: build" "$logs/build.log" cmake --build build/gpu --parallel "$(nproc)"
if [[ -n $server ]]; then
  stage "gpu: configure the server" "$logs/configure_server.log" cmake -S . -B build/gpu/server "${generator[@]}" -DCMAKE_BUILD_TYPE=Release \
    -DLARDER_CUDA=ON -DLARDER_BUILD_BENCH=OFF
  stage "gpu: build the server" "$logs/build_server.log" cmake --build build/gpu/server --parallel "$(nproc)" \
    --target device_arena_conformance store_hbm_test server_codec_test
fi

failed=0 skipped=0
# check NAME COMMAND...: runs a check, keeps its output, counts its outcome.
check() {
  local name=$1 rc=0
  shift
  "$@" >"$logs/$name.log" 2>&1 || rc=$?
  case $rc in
    0) echo "ok       $name" ;;
    77) echo "skipped  $name: $(grep -m 1 SKIPPED "$logs/$name.log")"; skipped=$((skipped + 1)) ;;
    *) echo "FAILED   $name (exit status $rc)"; tail -n 5 "$logs/$name.log" | sed 's/^/    /'; failed=$((failed + 1)) ;;
  esac
}

# on_device PROGRAM: its tests that need a device; 77 when they were skipped.
on_device() {
  local rc=0 output
  output=$("$1" --gtest_filter='*/Cuda' 2>&1) || rc=$?
  printf '%s\n' "$output"
  if [[ $rc == 0 && $output == *SKIPPED* ]]; then return 77; fi
  return "$rc"
}

readonly bin=build/gpu/bin
# all_shards BLOCKS: the comparison with the scalar reference, a process per core, at most 12. One status for all: 0, 77 or another.
all_shards() {
  local shards shard rc=0 one pids=()
  shards=$(nproc)
  ((shards <= 12)) || shards=12
  for ((shard = 0; shard < shards; shard++)); do
    "$bin/gpu_codec_check" --blocks "$1" --shard "$shard" --shards "$shards" >"$logs/codec_check.$shard.log" 2>&1 &
    pids+=($!)
  done
  for ((shard = 0; shard < shards; shard++)); do
    one=0
    wait "${pids[shard]}" || one=$?
    ((one == 0 || rc == 1)) || rc=$one
    ((one == 0 || one == 77)) || rc=1
    cat "$logs/codec_check.$shard.log"
  done
  return "$rc"
}
{
  check codec_check all_shards "$blocks"
  if [[ -n $sanitize ]]; then
    for tool in memcheck racecheck; do
      check "codec_check_$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$bin/gpu_codec_check" --blocks 128
    done
  fi
  if [[ -n $server ]]; then
    check device_arena on_device build/gpu/server/bin/device_arena_conformance
    check store_hbm on_device build/gpu/server/bin/store_hbm_test
    check server_codec on_device build/gpu/server/bin/server_codec_test
  fi
  check codec_bench "$bin/gpu_codec_bench"
  for name in codec_check codec_bench; do
    sed -n '/^\(device\|seed\|codec\|stream\|[a-z0-9_]* *\(keys\|values\)\|[a-z0-9_]* *[0-9.]* \)/p' "$logs/$name.log" | awk '!seen[$0]++'
  done
  if ((skipped > 0)); then
    echo "no GPU here: built, not tested"
  fi
} >"$logs/table.txt"
cat "$logs/table.txt"
((failed == 0)) || exit 1
((skipped == 0)) || exit 77
