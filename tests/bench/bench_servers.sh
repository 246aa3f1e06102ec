# Functions that the comparisons share: start servers, stop what was started. Sourced by them, with `work` (a folder) and `name` set.
server_pids=()
stop_servers() {
  local pid
  for pid in "${server_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${server_pids[@]}"; do
    timeout 10 tail -s 0.1 --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
  done
}
trap stop_servers EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# start NAME COMMAND...: starts a server and sets `address` to where its ready line says it listens.
start() {
  local server=$1 tries
  shift
  : >"$work/$server.out"
  "$@" >"$work/$server.out" 2>"$work/$server.err" &
  server_pids+=($!)
  for ((tries = 0; tries < 600; tries++)); do
    address=$(sed -n 's/.*"event": *"ready".*"listen": *"\([^"]*\)".*/\1/p' "$work/$server.out")
    [[ -z $address ]] || return 0
    kill -0 "${server_pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "$name: $server did not start:" >&2
  tail -n 20 "$work/$server.err" >&2
  exit 1
}

# Redis has no ready line and can not choose a port itself: try a few, and wait until it answers.
start_redis() {
  local port tries
  for ((tries = 0; tries < 5; tries++)); do
    port=$((20000 + RANDOM % 12000))
    redis-server --port "$port" --bind 127.0.0.1 --unixsocket redis.sock --save "" --appendonly no \
      --dir "$work" --daemonize no >"$work/redis.out" 2>&1 &
    server_pids+=($!)
    for _ in {1..50}; do
      if redis-cli -p "$port" ping 2>/dev/null | grep -q PONG; then address=127.0.0.1:$port; return 0; fi
      kill -0 "${server_pids[-1]}" 2>/dev/null || break
      sleep 0.1
    done
  done
  echo "$name: redis-server did not start:" >&2
  tail -n 20 "$work/redis.out" >&2
  exit 1
}
