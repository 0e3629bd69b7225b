#!/usr/bin/env bash
# Runs the unit tests and says at the end, where it is seen, which failed. Arguments go to `swift test`.
#
# Two runs: tests that compute for seconds would hold every thread of the test process, and tests that keep an eye on
# the clock would time out behind them.
set -uo pipefail
cd "$(dirname "$0")/.."
computing='SimulationTests|Fuzz'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
for choice in --skip --filter; do
    ${SWIFT:-swift} test "$@" "$choice" "$computing" 2>&1 | tee -a "$log" | grep -v -E '^(◇|✔ Test )'
    ((PIPESTATUS[0] == 0)) || code=1
done
if ((code)); then
    echo
    echo "failed:"
    grep -E '^(✘|.*(error|Fatal error):)' "$log" | grep -v -E '✘ (Suite|Test run)' | head -40
fi
exit "$code"
