#!/usr/bin/env bash
# usage: demo.sh APUS [FILE]
# Starts a server on free ports, sends the lines of FILE, receives them with two consumer groups, compares byte for byte, stops.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${SERVER_PID:-} ]]; then
    echo "starting a name server and a broker on free ports, with an empty store"
    exec Scripts/with-server.sh "$1" "$0" "$@"
fi

apus=$1
file=${2:-Examples/demo-lines.txt}
count=$(wc -l <"$file")
received=$(mktemp -d "${TMPDIR:-/tmp}/apus-demo.XXXXXX")
trap 'rm -rf "$received"' EXIT

echo "the name server listens on $NAMESRV_ADDR"
# One queue, so that the order of the file is the order of the messages.
"$apus" topic create demo --queues 1 >/dev/null
echo "sending the $count lines of $file to the topic demo"
"$apus" send demo --file "$file"

for group in readers archive; do
    echo "receiving with the consumer group $group"
    "$apus" consume demo --group "$group" --from first --count "$count" --within 30s --body-only >"$received/$group"
    cmp "$file" "$received/$group" || { echo "demo: FAILED: $group received something else than was sent" >&2; exit 1; }
    echo "  $count messages, $(wc -c <"$received/$group") bytes, the same as sent"
done
echo "demo: $count messages went through the broker, and both groups received every byte in order"
