#!/usr/bin/env bash
# Builds the CUDA kernels, their checks and their benchmark, and runs them on this machine's GPU. Needs nvcc, g++ and CMake; no
# network, no other package.
#
#   tests/gpu.sh [--blocks N] [--sanitize] [--server] [--pack FILE] [--log FOLDER]
#
#   --blocks N    random blocks of each codec to compare with the scalar reference (default 10000)
#   --sanitize    the checks once more, on few blocks, under compute-sanitizer's memcheck and racecheck; with --server the client's, too
#   --server      the server and the client, too: the HBM tier's arena, the store's moves and reads over it, encoding on ingest, gets into
#                 device memory and puts from it, a trace replayed through server and HBM with every byte compared, and the server killed
#                 again and again; needs the packages of deploy/packages.txt, or --pack
#   --pack FILE   builds nothing: runs the programs that tests/gpu_pack.sh packed on a machine with the packages
#   --log FOLDER  where build logs and the table go (default build/gpu/log)
#
# Prints one table: the outcome of each check, then encode and decode GB/s beside the device's copy bandwidth. Exit status: 0 when
# all is well, 1 when a build or a check failed, 77 when there is no GPU: everything is then built, and nothing was tested.
# Writes into build/gpu and FOLDER only, and the server's tests into the temporary folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/stage.sh

blocks=10000 sanitize="" server="" pack="" logs=build/gpu/log
while (($# > 0)); do
  case $1 in
    --blocks) blocks=${2:?--blocks needs a number}; shift ;;
    --sanitize) sanitize=1 ;;
    --server) server=1 ;;
    --pack) pack=${2:?--pack needs a file}; shift ;;
    --log) logs=${2:?--log needs a folder}; shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' tests/gpu.sh; exit 0 ;;
    *) echo "gpu.sh: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
trap 'rc=$?; trap "" INT TERM HUP; stage_stop; jobs -p | xargs -r kill 2>/dev/null; exit $rc' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bin=build/gpu/bin server_bin=build/gpu/server/bin
if [[ -n $pack ]]; then
  bin=build/gpu/pack/bin server_bin=build/gpu/pack/bin
  rm -rf build/gpu/pack
  mkdir -p build/gpu/pack
  stage "gpu: unpack" "$logs/unpack.log" tar -C build/gpu/pack -xJf "$pack"
  export LD_LIBRARY_PATH=$PWD/build/gpu/pack/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
else
  generator=()
  command -v ninja >/dev/null && generator=(-G Ninja)
  stage "gpu: configure" "$logs/configure.log" cmake -S tests/gpu -B build/gpu "${generator[@]}" -DCMAKE_BUILD_TYPE=Release
  stage "gpu: build" "$logs/build.log" cmake --build build/gpu --parallel "$(nproc)"
  if [[ -n $server ]]; then
    stage "gpu: configure the server" "$logs/configure_server.log" cmake -S . -B build/gpu/server "${generator[@]}" \
      -DCMAKE_BUILD_TYPE=Release -DLARDER_CUDA=ON -DLARDER_BUILD_BENCH=OFF
    stage "gpu: build the server" "$logs/build_server.log" cmake --build build/gpu/server --parallel "$(nproc)" \
      --target device_arena_conformance store_hbm_test server_codec_test device_blocks_conformance larder larderd crash_harness
  fi
fi
readonly bin server_bin

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
  output=$("$1" --gtest_filter='*/Cuda*' 2>&1) || rc=$?
  printf '%s\n' "$output"
  if [[ $rc == 0 && $output == *SKIPPED* ]]; then return 77; fi
  return "$rc"
}

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
# await_server PID FILE: sets `address` from the ready line.
await_server() {
  local deadline=$((SECONDS + 60))
  address=""
  while [[ -z $address ]]; do
    kill -0 "$1" 2>/dev/null && ((SECONDS < deadline)) || { echo "larderd was not ready"; return 1; }
    sleep 0.1
    address=$(sed -n 's/.*"listen": *"\([^"]*\)".*"metrics": *"\([^"]*\)".*/\1 \2/p' "$2")
  done
}

# metric ADDRESS NAME: the sum of a metric's samples.
metric() {
  exec 3<>"/dev/tcp/${1%:*}/${1##*:}"
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
  awk -v name="$2" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }' <&3
  exec 3>&-
}

# with_server NAME FLAGS... : runs the function NAME beside a larderd with these flags, in a folder of its own, $work; its listener and its
# metrics are $listen and $metrics then.
with_server() {
  local name=$1 work pid listen metrics rc=0
  work=$(mktemp -d)
  "$server_bin/larderd" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --log-level warn "${@:2}" >"$work/ready" 2>"$work/log" &
  pid=$!
  if await_server "$pid" "$work/ready"; then
    read -r listen metrics <<<"$address"
    "$name" || rc=1
  else
    rc=1
  fi
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid" || rc=1
  cat "$work/log"
  rm -rf "$work"
  return "$rc"
}

# A trace of multi-turn chats with blocks of an 8B model, through little DRAM and an HBM tier, encoded on the device: every block is
# compared, and each of the three must have had its part.
replay_on_device() {
  local rc=0 moved brought encoded
  "$server_bin/larder" trace generate --out "$work/trace.jsonl" --requests 150 || rc=1
  "$server_bin/larder" --address "$listen" replay --trace "$work/trace.jsonl" --model llama-3-8b --block-tokens 16 --codec server \
    --verify || rc=1
  "$server_bin/larder" --address "$listen" stats || rc=1
  moved=$(metric "$metrics" 'larder_hbm_moved_blocks_total{kind="moved"}')
  brought=$(metric "$metrics" 'larder_hbm_moved_blocks_total{kind="brought"}')
  encoded=$(metric "$metrics" 'larder_encode_device_blocks_total{end="done"}')
  echo "blocks moved to HBM $moved, brought back $brought, encoded on the device $encoded"
  awk "BEGIN { exit !($moved > 0 && $brought > 0 && $encoded > 0) }" || rc=1
  return "$rc"
}

# device_bench NAME PLANE FLAGS...: one measurement, a line.
device_bench() {
  local rc=0
  "$server_bin/larder" --address "$listen" --plane "$2" --window-bytes 512MiB --window-touch bench --batch 8 --seconds 1 "${@:3}" \
    >"$logs/device_bench.log" 2>&1 || rc=$?
  awk -v of="$1" '/throughput/ { speed = $2 " " $3 } /copies alone/ { alone = ", copies alone " $3 " " $4 } /misses/ { missed = $2 } END { print of ": " speed alone (missed == "0" ? "" : ", MISSES"); exit missed != "0" }' \
    "$logs/device_bench.log" || rc=1
  ((rc == 0)) || cat "$logs/device_bench.log"
  return "$rc"
}

# Blocks between every plane's window and the device's memory, beside copies alone of the same blocks; and those of a model, encoded,
# into host memory and into the device's.
device_planes() {
  local rc=0 plane op size codec target
  for plane in inline shm ucx; do
    for op in get put; do
      for size in 1MiB 4MiB; do
        device_bench "device memory: $plane $op $size" "$plane" --op "$op" --block-bytes "$size" --blocks 96 --device 0 || rc=1
      done
    done
  done
  for codec in raw fp8 balanced compact; do
    for target in "" "--device 0"; do
      device_bench "device memory: get of llama-3-8b's blocks, $codec, over shm, ${target:-host memory}" shm --op get --model llama-3-8b \
        --codec "$codec" --blocks 48 $target || rc=1
    done
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
    check device_arena on_device "$server_bin"/device_arena_conformance
    check store_hbm on_device "$server_bin"/store_hbm_test
    check server_codec on_device "$server_bin"/server_codec_test
    check device_blocks on_device "$server_bin"/device_blocks_conformance
    [[ -z $sanitize ]] || check device_blocks_memcheck compute-sanitizer --tool memcheck --error-exitcode 1 \
      "$server_bin/device_blocks_conformance" --gtest_filter='*/CudaShm'
    if ((skipped == 0)); then  # there is a device
      check device_planes with_server device_planes --dram-bytes 2GiB --codec raw --codec-fidelity-min compact --ucx-listen 127.0.0.1:0
      check replay with_server replay_on_device --dram-bytes 256MiB --hbm-bytes 4GiB --codec-device gpu
      check crash_harness "$server_bin/crash_harness" --cycles=20 --hbm=cuda --server="$server_bin/larderd_faults"
    fi
  fi
  check codec_bench "$bin/gpu_codec_bench"
  for name in device_planes codec_check codec_bench; do
    [[ -f $logs/$name.log ]] || continue
    sed -n '/^\(device\|seed\|codec\|stream\|[a-z0-9_]* *\(keys\|values\)\|[a-z0-9_]* *[0-9.]* \)/p' "$logs/$name.log" | awk '!seen[$0]++'
  done
  if ((skipped > 0)); then
    echo "no GPU here: built, not tested"
  fi
} >"$logs/table.txt"
cat "$logs/table.txt"
((failed == 0)) || exit 1
((skipped == 0)) || exit 77
