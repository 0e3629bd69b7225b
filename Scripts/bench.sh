#!/usr/bin/env bash
# usage: bench.sh APUS [SECTION...]             the table of docs/performance/README.md, or some sections of it
#        bench.sh APUS produce|consume|e2e ...  one run of `apus bench` against a fresh server
# Sections: sends transactions pulls listen filter flush topics idle connections start allocations (all by default); flood tlsflood stalls cold recovery timers (long, by name only).
# SECONDS_PER_RUN (8) is the length of each measured part; TMPDIR decides which disk is measured.
set -euo pipefail
cd "$(dirname "$0")/.."

apus=$(realpath "$1")
shift
length=${SECONDS_PER_RUN:-8}s
with_server() { Scripts/with-server.sh "$apus" Scripts/bench.sh "$apus" "$@"; }

# One run; prints the JSON.
bench() { "$apus" bench "$@" --server-pid "$SERVER_PID" --no-progress --output json; }
field() { sed -nE "s/^  \"$1\": \"?([^\",]*)\"?,?$/\1/p" <<<"$2"; }
calculate() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }
row() { printf '%-62s %s\n' "$1" "$2"; }
memory() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

# How long a turn of the server's loop took, in µs since its start: p99.9 and the longest.
turns() {
    echo "of $("$apus" status --name loopTurns --output csv | tail -1 | cut -d, -f3) turns p99.9 took \
$("$apus" status --name loopTurnMicrosP999 --output csv | tail -1 | cut -d, -f3) µs, the longest \
$("$apus" status --name loopTurnMicrosMax --output csv | tail -1 | cut -d, -f3) µs"
}

status() { "$apus" status --name "$1" --output csv | tail -1 | cut -d, -f3; }

# name, arguments of produce: a row with the costs of sends.
produce_row() {
    local name=$1 result
    shift
    result=$(bench produce --create-topic --warm-up 2s --duration "$length" "$@")
    row "$name" "$(field serverCPUPerMessage "$result") µs (client $(field clientCPUPerMessage "$result")), \
$(field sentPerSecond "$result")/s, p99.9 $(field sentRequestP999 "$result") µs"
}

case ${1:-} in
produce | consume | e2e)
    if [[ -z ${SERVER_PID:-} ]]; then with_server "$@"; else "$apus" bench "$@" --server-pid "$SERVER_PID"; fi
    exit
    ;;

# --- Run by with-server.sh, with a server of their own --------------------------------------------------------------------
--sends)
    for header in json rocketmq; do
        produce_row "server CPU a 1 KiB send, 64 in flight, 1 connection, $header" --header $header
        produce_row "the same over 64 connections with 1 in flight, $header" -c 64 --in-flight 1 --header $header
        produce_row "server CPU a 1 KiB message in batches of 32, $header" --batch 32 --header $header
    done
    ;;
--transactions)
    for header in json rocketmq; do
        produce_row "server CPU a transaction of 1 KiB, 64 in flight, $header" --transactions --header $header
    done
    result=$(bench consume)
    row "  received, lost, duplicated" \
        "$(field receivedMessages "$result"), $(field lost "$result"), $(field duplicated "$result")"
    ;;
--pulls)
    # The same sends with and without a consumer: the difference is what pulling costs.
    for header in json rocketmq; do
        load=(--create-topic --batch 32 --rate 100000 --warm-up 2s --duration "$length" --header $header)
        alone=$(bench produce "${load[@]}")
        both=$(bench e2e "${load[@]}")
        cost=$(calculate "$(field serverCPUPerMessage "$both") - $(field serverCPUPerMessage "$alone")")
        row "server CPU a 1 KiB message pulled, 32 a pull, tailing, $header" \
            "$cost µs, delivered p50 $(field deliveryP50 "$both") µs, p99.9 $(field deliveryP999 "$both") µs"
    done
    result=$(bench consume --no-verify)
    row "the same, from the first message on, out of the page cache" \
        "$(field serverCPUPerMessage "$result") µs, $(field receivedPerSecond "$result")/s"
    ;;
--listen)
    # The Swift client's own consumer, with its default of 20 handlers at once.
    "$apus" bench produce --create-topic --topic listened --queues 8 --count 1000000 --size 128 --batch 32 --no-progress >/dev/null
    for order in "" --ordered; do
        IFS=, read -r name _ _ speed cost < <("$apus" bench listen --topic listened $order --output csv | tail -1)
        row "Swift push consumer, 8 queues of 128-byte messages, $name" \
            "$(calculate "$speed" 0)/s, client CPU $(calculate "$cost") µs a message"
    done
    ;;
--flush)
    result=$(bench produce --create-topic --warm-up 2s --duration "$length")
    many=$(bench produce -c 64 --in-flight 1 --duration "$length")
    one=$(bench produce --in-flight 1 --duration "$length")
    echo "$(field sentPerSecond "$result") $(field sentPerSecond "$many") $(field sentRequestP50 "$one")"
    ;;
--topics)
    one=$(bench produce --create-topic --topic one --warm-up 2s --duration "$length")
    row "one topic with 4 queues" "$(field sentPerSecond "$one")/s, server CPU $(field serverCPUPerMessage "$one") µs a message"
    many=$(bench produce --create-topic --topic many --topics 10000 --warm-up 2s --duration "$length")
    share=$(calculate "100 * $(field sentPerSecond "$many") / $(field sentPerSecond "$one")" 0)
    row "10,000 topics with 4 queues, round robin" "$(field sentPerSecond "$many")/s = $share %, \
server CPU $(field serverCPUPerMessage "$many") µs a message, at most \
$(calculate "$(field serverPeakResidentBytes "$many") / 1048576" 0) MiB"
    ;;
--idle)
    sleep 5
    row "memory of an idle 'apus start'" "$(memory "$SERVER_PID") MiB"
    ;;
--connections)
    result=$("$apus" bench connections --role "$2" --server-pid "$SERVER_PID" --hold 2s --output csv | tail -1)
    IFS=, read -r opened failed lost _ before with each <<<"$result"
    row "$opened connections ($2), $failed failed, $lost lost" \
        "$(calculate "$with / 1048576" 1) MiB, before $(calculate "$before / 1048576" 1) MiB: $each bytes each"
    ;;
--flood)
    load=(--create-topic --warm-up 1s --duration "$length")
    quiet=$(field sentPerSecond "$(bench produce "${load[@]}")")
    row "sends, 64 in flight, without a flood" "$quiet/s"
    for kind in garbage headers connections requests; do
        # Rates are bounded, for on two cores the flood's own processor time would be most of what is measured.
        "$apus" bench flood --kind $kind --rate "${FLOOD_RATE:-5000}" --duration 600s --output csv >/dev/null 2>&1 &
        flood=$!
        sleep 1
        now=$(field sentPerSecond "$(bench produce "${load[@]}")")
        kill $flood 2>/dev/null || true
        wait $flood 2>/dev/null || true
        row "  with a flood of $kind" "$now/s: $(calculate "100 - 100 * $now / $quiet" 0) % less"
    done
    row "  refused, malformed, penalties" "$(status connectionsRefused.penalty), $(status connectionsMalformed), $(status connectionsPenalties)"
    ;;
--tlsflood)
    load=(--create-topic --warm-up 1s --duration "$length")
    quiet=$(field sentPerSecond "$(bench produce "${load[@]}")")
    "$apus" bench flood --kind handshakes --duration 600s --output csv >/dev/null 2>&1 &
    flood=$!
    sleep 1
    now=$(field sentPerSecond "$(bench produce "${load[@]}")")
    kill $flood 2>/dev/null || true
    wait $flood 2>/dev/null || true
    row "sends, 64 in flight, with 200 TLS handshakes at a time, share $2 %" \
        "$now/s of $quiet/s: $(calculate "100 * $now / $quiet" 0) %, $(status tlsHandshakesFailed) handshakes"
    ;;
--allocations)
    bench produce --create-topic --count 100000 >/dev/null
    bench consume --no-verify >/dev/null
    kill -USR2 "$SERVER_PID"
    bench produce --count 500000 >/dev/null
    kill -USR2 "$SERVER_PID"
    bench consume --no-verify >/dev/null
    kill -USR2 "$SERVER_PID"
    # Time for the last line to be written.
    sleep 1
    ;;
--calm)
    result=$(bench produce --create-topic --rate 1000 --in-flight 1000 --duration 20s)
    row "1,000 sends/s on a quiet disk" "p50 $(field sentRequestP50 "$result") p99.9 $(field sentRequestP999 "$result") max $(field sentRequestMax "$result") µs"
    row "  the loop" "$(turns)"
    ;;
--stalls)
    junk=$(mktemp "${TMPDIR:-/tmp}/apus-junk.XXXXXX")
    (while dd if=/dev/zero of="$junk" bs=1M count=4096 conv=fdatasync status=none; do :; done) &
    writer=$!
    trap 'kill $writer 2>/dev/null || true; rm -f "$junk"' EXIT
    sleep 2
    busy=$(bench produce --create-topic --rate 1000 --in-flight 1000 --duration 20s)
    row "the same while another process saturates the disk" "p50 $(field sentRequestP50 "$busy") p99.9 $(field sentRequestP999 "$busy") max $(field sentRequestMax "$busy") µs"
    row "  the loop" "$(turns)"
    ;;
--cold)
    bench produce --create-topic --topic cold --batch 32 --count 4000000 >/dev/null
    sync
    # Takes the store out of the page cache.
    for file in "/proc/$SERVER_PID"/fd/*; do
        target=$(readlink "$file") || continue
        [[ $target == */commitlog/* ]] && dd of="$target" oflag=nocache conv=notrunc,fdatasync count=0 status=none
    done
    bench consume --topic cold --no-verify >/dev/null &
    reader=$!
    result=$(bench produce --create-topic --topic hot --rate 1000 --in-flight 1000 --duration 10s)
    wait $reader
    row "1,000/s while a consumer reads 4 GB of cold messages" "p50 $(field sentRequestP50 "$result") p99.9 $(field sentRequestP999 "$result") max $(field sentRequestMax "$result") µs"
    row "  the loop" "$(turns)"
    ;;

--lateness)
    bench e2e --create-topic --queues 1 --delay 2s --rate 100 --size 100 --count 1000 >/dev/null
    row "100 timers a second, at most so late" "$(status timerLatenessMillisMax) ms"
    result=$(bench e2e --create-topic --topic flood --delay 5s --size 256 --count 1000000)
    row "1,000,000 timers, sent and delivered" "server CPU $(field serverCPUPerMessage "$result") µs each, \
$(field lost "$result") lost, $(field duplicated "$result") twice, at most $(status timerLatenessMillisMax) ms late"
    ;;

# --- Sections -------------------------------------------------------------------------------------------------------------
sends | transactions | pulls | listen | topics | idle | cold) with_server "--$1" ;;
connections)
    for role in bare producers pulls pieces; do with_server --connections $role; done
    ;;
flood)
    echo "addresses that keep sending rubbish are refused (limitsLoopback=true):"
    SETTINGS="--set limitsLoopback=true" with_server --flood
    echo "nobody is refused (the default for addresses of this machine):"
    with_server --flood
    ;;
tlsflood)
    certificates=$(mktemp -d "${TMPDIR:-/tmp}/apus-tls.XXXXXX")
    trap 'rm -rf "$certificates"' EXIT
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -keyout "$certificates/key.pem" -out "$certificates/certificate.pem" 2>/dev/null
    # The second row is the control: a share of 100 % is no limit.
    for share in 15 100; do
        SETTINGS="--set tls.server.certPath=$certificates/certificate.pem --set tls.server.keyPath=$certificates/key.pem \
            --set tlsHandshakeShare=$share" with_server --tlsflood $share
    done
    rm -rf "$certificates"
    trap - EXIT
    ;;
stalls)
    with_server --calm
    with_server --stalls
    ;;
flush)
    read -r asynchronous many_asynchronous _ < <(with_server --flush)
    read -r synchronous many_synchronous latency < <(SETTINGS="--flush SYNC_FLUSH" with_server --flush)
    share=$(calculate "100 * $synchronous / $asynchronous" 0)
    row "synchronous flush, 64 in flight on one connection, against asynchronous" \
        "$synchronous/s of $asynchronous/s = $share %"
    share=$(calculate "100 * $many_synchronous / $many_asynchronous" 0)
    row "the same on 64 connections with 1 in flight" "$many_synchronous/s of $many_asynchronous/s = $share %"
    disk=$("$apus" bench disk --path "${TMPDIR:-/tmp}" --output csv | awk -F, 'NR == 2 { print $2 }')
    row "one synchronous send alone, over one fdatasync" \
        "$latency - $disk = $(calculate "$latency - $disk" 0) µs (both p50)"
    ;;
allocations)
    library=$(mktemp "${TMPDIR:-/tmp}/apus-allocations.XXXXXX")
    log=$library.log
    trap 'rm -f "$library" "$log"' EXIT
    "${CC:-clang}" -O2 -shared -fPIC Scripts/allocations.c -o "$library" -ldl
    cat >"$library.run" <<END
#!/bin/sh
[ "\$1" = start ] || exec "$apus" "\$@"
LD_PRELOAD="$library" exec "$apus" "\$@" 2>>"$log"
END
    chmod +x "$library.run"
    trap 'rm -f "$library" "$library.run" "$log"' EXIT
    Scripts/with-server.sh "$library.run" Scripts/bench.sh "$apus" --allocations
    mapfile -t counts < <(sed -nE 's/^allocations //p' "$log")
    row "allocations a message sent, steady state" "$(calculate "(${counts[1]} - ${counts[0]}) / 500000" 4)"
    row "allocations a message pulled, 32 a pull, steady state" "$(calculate "(${counts[2]} - ${counts[1]}) / 600000" 4)"
    ;;
filter)
    result=$("$apus" bench filter --output csv | tail -1)
    row "a > 5 AND region IN ('EU','US'), each message" "${result##*,} ns"
    ;;
timers)
    with_server --lateness
    Scripts/bench.sh "$apus" waiting
    ;;
start | recovery | waiting)
    folder=$(mktemp -d "${TMPDIR:-/tmp}/apus.XXXXXX")
    server=
    trap '[[ -z $server ]] || kill -KILL $server 2>/dev/null || true; rm -rf "$folder"' EXIT
    # Starts a server and waits for its answer to GET_MAX_OFFSET; prints milliseconds.
    first_answer() {
        local port=$((20000 + RANDOM % 10000)) begin answer
        local header='{"code":30,"extFields":{"queueId":"0","topic":"TBW102"},"flag":0,"language":"JAVA","opaque":1,"serializeTypeCurrentRPC":"JSON","version":409}'
        local size=${#header}
        begin=${EPOCHREALTIME/./}
        "$apus" start --store "$folder/store" --bind 127.0.0.1 --broker-ip 127.0.0.1 --listen-port $port \
            --name-server-port 0 --ready-file "$folder/ready" >"$folder/log" 2>&1 </dev/null &
        server=$!
        until { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; do
            kill -0 $server || { cat "$folder/log" >&2; exit 1; }
        done
        printf "\x00\x00\x00\x$(printf %x $((size + 4)))\x00\x00\x00\x$(printf %x "$size")%s" "$header" >&3
        # The shell passes over the zeros of the length.
        LC_ALL=C read -r -N 8 -u 3 answer 2>/dev/null
        calculate "(${EPOCHREALTIME/./} - $begin) / 1000" 1
        exec 3>&-
        [[ -n $answer ]]
        echo "$port $server" >"$folder/running"
    }
    crash() {
        read -r _ server <"$folder/running"
        kill -KILL "$server"
        wait "$server" 2>/dev/null || true
        server=
    }
    if [[ $1 == start ]]; then
        for _ in 1 2 3 4 5; do
            first_answer >"$folder/time"
            times="${times:-} $(<"$folder/time")"
            crash
            rm -rf "$folder/store"
        done
        row "start to first answer, empty store" "$times ms"
    elif [[ $1 == waiting ]]; then
        first_answer >"$folder/time"
        read -r port server <"$folder/running"
        result=$("$apus" bench produce --broker "127.0.0.1:$port" --create-topic --size 64 -c 4 --in-flight 256 \
            --delay 1h --delay-spread 23h --count 10000000 --server-pid "$server" --no-progress --output json)
        row "10,000,000 timers sent" "$(field sentPerSecond "$result")/s, server CPU $(field serverCPUPerMessage "$result") µs each"
        row "memory with 10,000,000 timers that wait" "$(memory "$server") MiB"
        crash
        first_answer >"$folder/time"
        row "start to first answer with them, after kill -9" "$(<"$folder/time") ms"
        sleep 10
        read -r port server <"$folder/running"
        row "memory then" "$(memory "$server") MiB"
        row "timers that wait" "$("$apus" status --broker "127.0.0.1:$port" --name timing_messages --output csv | tail -1 | cut -d, -f3)"
        crash
    else
        first_answer >"$folder/time"
        read -r port server <"$folder/running"
        "$apus" bench produce --broker "127.0.0.1:$port" --create-topic --batch 32 --count 9600000 --no-progress >/dev/null
        row "memory with a store of 10 GB" "$(memory "$server") MiB"
        crash
        first_answer >"$folder/time"
        row "start to first answer, 10 GB after kill -9" "$(<"$folder/time") ms"
        crash
        # A power cut leaves nothing in the page cache; what it takes of the log makes the start shorter.
        sync "$folder"
        if [[ -w /proc/sys/vm/drop_caches ]] && echo 3 2>/dev/null >/proc/sys/vm/drop_caches; then
            first_answer >"$folder/time"
            row "the same with nothing in the page cache, as after a power cut" "$(<"$folder/time") ms"
            crash
        fi
    fi
    ;;
'')
    exec Scripts/bench.sh "$apus" sends transactions pulls listen filter flush topics idle connections start allocations
    ;;
*)
    echo "bench.sh: there is no section '$1'" >&2
    exit 2
    ;;
esac
shift
[[ $# -eq 0 ]] || [[ ${SERVER_PID:-} ]] || exec Scripts/bench.sh "$apus" "$@"
