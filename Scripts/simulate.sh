#!/usr/bin/env bash
# Runs simulated clusters in two processes: simulate.sh path/to/apus-sim SEEDS [SEED] [options of apus-sim]
# With SEED only that one is run.
set -uo pipefail
program=$1 count=$2 seed=${3:-}
shift; shift; shift || true
if [[ -n $seed ]]; then exec "$program" --seed "$seed" "$@"; fi
half=$(((count + 1) / 2))
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$program" --first $((half + 1)) --seeds $((count - half)) --keep-going "$@" >"$log" 2>&1 &
other=$!
code=0
"$program" --first 1 --seeds "$half" --keep-going "$@" || code=$?
wait "$other" || code=$?
cat "$log"
exit "$code"
