#!/usr/bin/env bash
# Runs the unit tests and says at the end, where it is seen, which failed. Arguments go to `swift test`.
#
# Three runs: tests that compute for seconds hold every thread of the test process, and tests that keep an eye on the
# clock would time out behind them.
set -uo pipefail
cd "$(dirname "$0")/.."
watching='^(ApusClient|Runtime|Administration|Server)Tests'
computing='SimulationTests|Fuzz'
# Tests flush a lot; on a disk that others use as well they would wait for those.
memory=
if [[ -z ${TMPDIR:-} && -w /dev/shm ]]; then
    memory=$(mktemp -d /dev/shm/apus-tests.XXXXXX)
    export TMPDIR=$memory
fi
log=$(mktemp)
trap 'rm -rf "$log" "$memory"' EXIT
code=0
run() {
    ${SWIFT:-swift} test "$@" 2>&1 | tee -a "$log" | grep -v -E '^(◇|✔ Test |Test Suite|\s+Executed 0|↳)'
    ((PIPESTATUS[0] == 0)) || code=1
}
run "$@" --filter "$watching"
run "$@" --skip "$watching" --skip "$computing"
run "$@" --filter "$computing"
if ((code)); then
    echo
    echo "failed:"
    grep -E '^(✘|.*(error|Fatal error):)' "$log" | grep -v -E '✘ (Suite|Test run)' | head -40
fi
exit "$code"
