#!/usr/bin/env bash
# Builds Larder, starts a server on loopback, replays a serving trace through it with every byte checked, and prints the summary.
#
#   deploy/quickstart.sh [--trace FILE] [--requests N]
#
#   --trace FILE    a trace in the Mooncake JSONL format; without it, Larder generates one of multi-turn chats
#   --requests N    replay only the first N requests
#
# Can be run again. Installs what is missing of the packages (group build of deploy/packages.txt) with apt-get; everything else it writes
# lies in build/quickstart, and it stops what it started. Exits 0 when no block came back wrong and no request failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
invoked_from=$OLDPWD
source deploy/stage.sh

trace="" requests=()
while (($# > 0)); do
  case $1 in
    --trace) trace=${2:?--trace needs a file}; shift ;;
    --requests) requests=(--requests "${2:?--requests needs a number}"); shift ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' deploy/quickstart.sh; exit 0 ;;
    *) echo "quickstart: unknown argument $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
[[ -z $trace || $trace == /* ]] || trace=$invoked_from/$trace
[[ -z $trace || -r $trace ]] || { echo "quickstart: cannot read the trace $trace" >&2; exit 2; }

readonly build=build/quickstart
readonly logs=$build/log
export CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache}
mkdir -p "$logs"

server_pid="" replay_pid=""
# stop PID SECONDS: TERM, then KILL when it has not ended by then.
stop() {
  [[ -n $1 ]] || return 0
  kill -TERM "$1" 2>/dev/null || return 0
  timeout "$2" tail -s 0.1 --pid="$1" -f /dev/null || kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
clean_up() {
  local rc=$?
  trap "" INT TERM HUP
  stage_stop
  stop "$replay_pid" 5
  stop "$server_pid" 20  # it drains first
  exit "$rc"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# A quarter of the memory that is free, within the container's limit when there is one, and at most 4 GiB.
dram_bytes() {
  local free limit used
  free=$(($(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo) * 1024))
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit != max ]]; then
    used=$(cat /sys/fs/cgroup/memory.current)
    ((limit - used >= free)) || free=$((limit - used))
  fi
  local bytes=$((free / 4)) most=$((4 << 30))
  echo $((bytes < most ? bytes : most))
}

# Starts larderd on free loopback ports and sets `address` from its ready line.
start_server() {
  local bytes deadline=$((SECONDS + 60))
  bytes=$(dram_bytes)
  : >"$logs/larderd.out"
  "$build/bin/larderd" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 --dram-bytes "$bytes" \
    >"$logs/larderd.out" 2>"$logs/larderd.log" </dev/null &
  server_pid=$!
  address=""
  while ((SECONDS < deadline)) && kill -0 "$server_pid" 2>/dev/null; do
    address=$(sed -n 's/.*"event": *"ready".*"listen": *"\([^"]*\)".*/\1/p' "$logs/larderd.out")
    [[ -z $address ]] || break
    sleep 0.1
  done
  if [[ -z $address ]]; then
    echo "quickstart: larderd was not ready within 60 s; the end of $logs/larderd.log:" >&2
    tail -n 20 "$logs/larderd.log" >&2
    return 1
  fi
  printf '%-28s ok  %s, %d MiB of blocks\n' server "$address" "$((bytes >> 20))"
}

# json_count NAME FILE: the number under a top-level key, empty when it is not there.
json_count() {
  sed -n 's/.*"'"$1"'": *\([0-9][0-9]*\).*/\1/p' "$2" | head -n 1
}

deploy/install_packages.sh build
deploy/install_ucx.sh
stage configure "$logs/configure.log" cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLARDER_CUDA=OFF \
  -DLARDER_BUILD_TESTS=OFF -DLARDER_BUILD_BENCH=OFF
stage build "$logs/build.log" cmake --build "$build" --target larderd larder
if [[ -z $trace ]]; then
  trace=$build/generated_trace.jsonl
  stage "generate a trace" "$logs/trace.log" "$build/bin/larder" trace generate --out "$trace"
fi
start_server

report=$build/replay.json
rm -f "$report"
replay_rc=0
# In the background, because bash answers a signal only between foreground commands.
"$build/bin/larder" --address "$address" replay --trace "$trace" --speed max --verify --json "$report" "${requests[@]}" &
replay_pid=$!
wait "$replay_pid" || replay_rc=$?
replay_pid=""
"$build/bin/larder" --address "$address" stats || true  # the replay decides
stop "$server_pid" 20
server_pid=""

wrong=$(json_count wrong_blocks "$report" 2>/dev/null || true)
errors=$(json_count errors "$report" 2>/dev/null || true)
if ((replay_rc != 0)) || [[ $wrong != 0 || $errors != 0 ]]; then
  echo "quickstart: the replay failed (exit $replay_rc, wrong blocks ${wrong:-unknown}, errors ${errors:-unknown}); server log: $logs/larderd.log" >&2
  exit 1
fi
echo
echo "0 wrong blocks, 0 errors. The server is stopped. Where to look next:"
printf '  %-40s %s\n' \
  "$build/bin/larderd --help" "start it yourself; deploy/larderd.yaml is the commented configuration" \
  "$build/bin/larder --help" "ping, lookup, put, get, bench, top and more against it" \
  "$report" "this replay's summary for programs" \
  "$logs/" "logs of the build and the server" \
  README.md "what Larder is and how it is built"
