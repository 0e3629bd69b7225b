#!/usr/bin/env bash
# usage: with-server.sh APUS COMMAND...
# Starts `apus start` on free ports of loopback with an empty store, runs COMMAND with NAMESRV_ADDR and SERVER_PID set, and stops the
# server. Ends with the command's exit code, or 1 when the server does not start or stop well. SETTINGS holds more options.
set -euo pipefail

apus=$1
shift
folder=$(mktemp -d "${TMPDIR:-/tmp}/apus.XXXXXX")
server=

fail() {
    echo "$1; the server said:" >&2
    tail -20 "$folder/server.log" >&2
    exit 1
}
finish() {
    code=$?
    trap - EXIT
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$folder"
    exit "$code"
}
trap finish EXIT

# shellcheck disable=SC2086
"$apus" start --store "$folder/store" --bind 127.0.0.1 --broker-ip 127.0.0.1 --listen-port 0 --name-server-port 0 \
    --ready-file "$folder/ready.json" ${SETTINGS:-} >"$folder/server.log" 2>&1 </dev/null &
server=$!
for _ in $(seq 200); do
    [[ -s $folder/ready.json ]] && break
    kill -0 "$server" 2>/dev/null || fail "the server ended before it was ready"
    sleep 0.05
done
[[ -s $folder/ready.json ]] || fail "the server was not ready after 10 s"

NAMESRV_ADDR=127.0.0.1:$(sed -E 's/.*"namesrv": *([0-9]+).*/\1/' "$folder/ready.json")
export NAMESRV_ADDR SERVER_PID=$server
code=0
"$@" || code=$?

kill -TERM "$server" 2>/dev/null || fail "the server ended before it was asked to"
stopped=0
wait "$server" || stopped=$?
server=
((stopped == 0)) || fail "the server stopped with $stopped"
exit "$code"
