#!/usr/bin/env bash
# usage: docc.sh SCRATCH-PATH [ROOM...]   renders the documentation of rooms (all by default) into SCRATCH-PATH/docc/ROOM
# Look at one with: python3 -m http.server -d SCRATCH-PATH/docc/ApusClient, then http://localhost:8000/documentation/apusclient.
# Fails when a page links to a symbol that is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$1
shift
swift=${SWIFT:-swift}
$swift package --scratch-path "$scratch" dump-symbol-graph --minimum-access-level internal --skip-synthesized-members >/dev/null
graphs=$(find "$scratch" -maxdepth 2 -type d -name symbolgraph | head -1)
folder=$(mktemp -d "${TMPDIR:-/tmp}/apus-docc.XXXXXX")
trap 'rm -rf "$folder"' EXIT

failed=0
mkdir -p "$scratch/docc"
while read -r catalog; do
    room=$(basename "$catalog" .docc)
    [[ $# -eq 0 || " $* " == *" $room "* ]] || continue
    rm -rf "$folder/graphs"
    mkdir "$folder/graphs"
    cp "$graphs/$room.symbols.json" "$folder/graphs"
    find "$graphs" -name "$room@*.symbols.json" -exec cp {} "$folder/graphs" \;
    docc convert "$catalog" --additional-symbol-graph-dir "$folder/graphs" --output-path "$scratch/docc/$room" \
        --fallback-display-name "$room" --fallback-bundle-identifier "org.apus.$room" \
        --transform-for-static-hosting >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    # Parameters that a comment does not mention need no words; a link that leads nowhere does.
    if grep -A 1 -E "^(warning|error): .*(doesn't exist at|is ambiguous at)" "$folder/log"; then failed=1; fi
    echo "$scratch/docc/$room"
done < <(find Sources -name '*.docc' | sort)
exit $failed
