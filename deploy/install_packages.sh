#!/usr/bin/env bash
# Installs the packages of the named groups of packages.txt (default: build test); only what is missing, so it costs
# nothing when run again. Needs root or sudo only when something is missing. Quiet when there is nothing to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source deploy/stage.sh
trap 'rc=$?; stage_stop; exit $rc' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

groups=("$@")
((${#groups[@]} > 0)) || groups=(build test)
logs=build/log

missing=()
for group in "${groups[@]}"; do
  packages=$(awk -v group="$group" '$1 == group { print $2 }' deploy/packages.txt)
  [[ -n $packages ]] || { echo "install_packages: no group '$group' in deploy/packages.txt" >&2; exit 2; }
  for package in $packages; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
done
((${#missing[@]} > 0)) || exit 0

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "install_packages: missing ${missing[*]}; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  # Asks for the password now, in the foreground; without a terminal there is nobody to ask.
  if [[ -t 0 ]]; then sudo -v; else as_root=(sudo -n); fi
fi
as_root+=(env DEBIAN_FRONTEND=noninteractive)

install() {
  "${as_root[@]}" apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}"
}
# Lists that are present are tried first: most containers have none, most machines have fresh ones.
if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
  stage "package lists" "$logs/apt-update.log" "${as_root[@]}" apt-get update
fi
if ! stage "packages (${#missing[@]} missing)" "$logs/apt-install.log" install; then
  # Stale lists name package files that the mirror no longer has.
  stage "package lists, again" "$logs/apt-update.log" "${as_root[@]}" apt-get update
  stage "packages, again" "$logs/apt-install.log" install
fi
