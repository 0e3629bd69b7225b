#!/usr/bin/env bash
# Runs the integration tests against $APUS, a build with ThreadSanitizer, and fails when it reported anything.
set -euo pipefail
cd "$(dirname "$0")/.."

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
# Not the exit code: a test that kills the server would not see it.
export TSAN_OPTIONS="log_path=$reports/report exitcode=0 report_signal_unsafe=0 suppressions=$PWD/Scripts/tsan-suppressions.txt" SWIFT_BACKTRACE=enable=no
status=0
"${PYTHON:-.venv/bin/python}" -m pytest Tests/Integration "$@" || status=$?
CYCLES=${CYCLES:-5} "${PYTHON:-.venv/bin/python}" -m pytest -q Tests/Faults/test_kill.py || status=$?
if compgen -G "$reports/*" >/dev/null; then
    grep -h -A 12 'WARNING: ThreadSanitizer' "$reports"/* | head -200
    echo "$(grep -h 'WARNING: ThreadSanitizer' "$reports"/* | wc -l) reports of ThreadSanitizer" >&2
    status=1
fi
exit $status
