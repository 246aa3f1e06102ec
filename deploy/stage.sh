# shellcheck shell=bash
# Sourced by the scripts: long commands run quietly, one line each.
#
#   stage NAME LOG COMMAND...   runs COMMAND with its output in LOG. Prints one line with the outcome and the duration; while it runs
#                               and stderr is a terminal, that line shows the seconds and the log's last line. When COMMAND fails,
#                               shows what failed in the log and returns COMMAND's status.
#   stage_stop                  ends the running stage and everything it started. Call it from an EXIT trap.

stage_pid=""

_stage_progress() {  # NAME LOG BEGIN: one refreshed line until the command ends
  local width=$(( $(tput cols 2>/dev/null || echo 80) - 1 )) last
  while kill -0 "$stage_pid" 2>/dev/null; do
    last=$(tail -c 500 "$2" 2>/dev/null | tr '\r' '\n' | grep -a '[^[:space:]]' | tail -n 1 || true)
    last=$(printf '%-28s %4ds  %s' "$1" "$((SECONDS - $3))" "$last" | tr -d '[:cntrl:]')
    printf '\r\033[K%s' "${last:0:width}" >&2
    sleep 0.3
  done
  printf '\r\033[K' >&2
}

_stage_excerpt() {  # LOG: what a reader needs first: from ninja's first failed command on, else the end
  local from
  from=$(grep -an -m 1 '^FAILED: ' "$1" | cut -d: -f1 || true)
  if [[ -n $from ]]; then
    tail -n "+$from" "$1" | grep -av '^\[' | head -n 40
  else
    tail -n 40 "$1"
  fi | sed 's/^/    /' || true  # head may close the pipe early
}

stage() {
  local name=$1 log=$2 begin=$SECONDS rc=0
  shift 2
  mkdir -p "$(dirname "$log")"
  # Job control gives the command a process group of its own, so that stage_stop reaches its children too.
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  stage_pid=$!
  set +m
  [[ ! -t 2 ]] || _stage_progress "$name" "$log" "$begin"
  wait "$stage_pid" || rc=$?
  stage_pid=""
  if ((rc == 0)); then
    printf '%-28s ok %6ds\n' "$name" "$((SECONDS - begin))"
  else
    printf '%-28s FAILED %2ds (exit %d); from %s:\n' "$name" "$((SECONDS - begin))" "$rc" "$log"
    _stage_excerpt "$log"
  fi
  return "$rc"
}

stage_stop() {
  [[ -n $stage_pid ]] || return 0
  kill -TERM -- "-$stage_pid" 2>/dev/null || true
  wait "$stage_pid" 2>/dev/null || true
  stage_pid=""
}
