#!/usr/bin/env bash
# usage: demo.sh APUS [FILE]
# Starts a server on free ports, sends the lines of FILE, receives them with two consumer groups, compares byte for byte, stops.
set -euo pipefail
cd "$(dirname "$0")/.."

apus=$1
file=${2:-Examples/demo-lines.txt}
count=$(wc -l <"$file")
folder=$(mktemp -d "${TMPDIR:-/tmp}/apus-demo.XXXXXX")
server=

finish() {
    code=$?
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    ((code == 0)) || { echo "demo: FAILED; the server said:" >&2; tail -20 "$folder/server.log" >&2 || true; }
    rm -rf "$folder"
    exit "$code"
}
trap finish EXIT

say() { printf '%s\n' "$*"; }

say "starting a name server and a broker on free ports, store in $folder"
"$apus" start --store "$folder/store" --bind 127.0.0.1 --broker-ip 127.0.0.1 --listen-port 0 --name-server-port 0 \
    --ready-file "$folder/ready.json" >"$folder/server.log" 2>&1 </dev/null &
server=$!
for _ in $(seq 200); do
    [[ -s $folder/ready.json ]] && break
    kill -0 "$server" 2>/dev/null || { echo "demo: the server ended before it was ready" >&2; exit 1; }
    sleep 0.05
done
[[ -s $folder/ready.json ]] || { echo "demo: the server was not ready after 10 s" >&2; exit 1; }
port=$(sed -E 's/.*"namesrv": *([0-9]+).*/\1/' "$folder/ready.json")
export NAMESRV_ADDR=127.0.0.1:$port
say "ready: $(cat "$folder/ready.json")"

# One queue, so that the order of the file is the order of the messages.
"$apus" topic create demo --queues 1 >/dev/null
say "sending the $count lines of $file to the topic demo"
"$apus" send demo --file "$file"

for group in readers archive; do
    say "receiving with the consumer group $group"
    "$apus" consume demo --group "$group" --from first --count "$count" --within 30s --body-only >"$folder/$group.txt"
    cmp "$file" "$folder/$group.txt" || { echo "demo: $group received something else than was sent" >&2; exit 1; }
    say "  $count messages, $(wc -c <"$folder/$group.txt") bytes, the same as sent"
done

say "stopping"
kill -TERM "$server"
wait "$server" || { echo "demo: the server stopped with an error" >&2; exit 1; }
server=
say "demo: $count messages went through the broker, and both groups received every byte in order"
