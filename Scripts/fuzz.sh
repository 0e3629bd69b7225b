#!/usr/bin/env bash
# Builds the fuzzer with AddressSanitizer and lets it run over every target, or over those that are named.
#   SECONDS_EACH=20 Scripts/fuzz.sh [TARGET...]
# Inputs that are new go to .build-fuzz/found/<target>, crashes to .build-fuzz/crashes; the corpus in Fuzz/corpus is only read.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
build=${FUZZ_BUILD:-.build-fuzz}
each=${SECONDS_EACH:-20}
# A crashing target would leave the backtracer hanging.
export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0:abort_on_error=1

# One option with both: of two the last would count alone, and the rooms would not guide the fuzzer. Optimised, for it is about how many inputs are tried; overflows and bounds trap all the same.
mkdir -p "$build"
sanitize=(-Xswiftc -O -Xswiftc -sanitize=fuzzer,address -Xswiftc -enable-testing)
for target in Simulation RemotingFrontend; do
    "$swift" build --scratch-path "$build" "${sanitize[@]}" --target $target >"$build/build.log" 2>&1 || { tail -20 "$build/build.log"; exit 1; }
done
debug=$build/debug
rooms=(Base Bytes Compression Telemetry Runtime Model Storage RemotingProtocol BrokerCore NameService RemotingFrontend Simulation)
objects=()
for room in "${rooms[@]}"; do objects+=("$debug/$room.build"/*.swift.o); done
maps=()
for map in Sources/C/*/module.modulemap; do maps+=(-Xcc "-fmodule-map-file=$map"); done
"${SWIFTC:-${swift}c}" -swift-version 6 -sanitize=fuzzer,address -parse-as-library -enable-testing -O -g \
    -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
    -enable-experimental-feature Lifetimes -I "$debug/Modules" "${maps[@]}" \
    -module-name Fuzzer Fuzz/*.swift Tests/FuzzTests/Targets/*.swift "${objects[@]}" \
    -luv -lisal -lz -llz4 -lzstd -o "$build/apus-fuzz" 2>"$build/link.log" \
    || { grep -v 'Cannot export local symbol' "$build/link.log" | tail -20; exit 1; }

names=("$@")
((${#names[@]})) || names=($(ls Fuzz/corpus))
mkdir -p "$build/crashes"
failed=()
run() {
    local name=$1
    mkdir -p "$build/found/$name"
    APUS_FUZZ_TARGET=$name timeout -k 10 $((each + 60)) "$build/apus-fuzz" -max_total_time="$each" -timeout=25 \
        -rss_limit_mb=4096 -max_len=8192 -artifact_prefix="$build/crashes/$name-" "$build/found/$name" ${2-} \
        >"$build/$name.log" 2>&1
}

# The negative control: without it a fuzzer that finds nothing says nothing.
if each=60 run control; then
    echo "the planted mistake of the target 'control' was not found" >&2
    exit 1
fi
rm -f "$build"/crashes/control-*
for name in "${names[@]}"; do
    if run "$name" "Fuzz/corpus/$name"; then
        grep -E '^Done|^stat::number_of_executed' "$build/$name.log" | tail -1 | sed "s/^/$name: /"
    else
        failed+=("$name")
        echo "$name: FAILED"
        grep -E 'Fatal error|ERROR:|SUMMARY|Test unit written' "$build/$name.log" | head -5
    fi
done
((${#failed[@]} == 0)) || { echo "see $build/crashes and $build/<target>.log: ${failed[*]}" >&2; exit 1; }
