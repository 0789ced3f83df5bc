#!/usr/bin/env bash
# Measures one shop process on this machine, prints the tables and keeps them in docs/benchmarks.md.
# Capacity is measured with wrk (closed loop, which says nothing about latency), latency with shop-load (open loop).
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

ROUNDS=${ROUNDS:-5}
SECONDS_A_ROUND=${SECONDS_A_ROUND:-8}
CONNECTIONS=32
SERVER_CORE=0
CLIENT_CORE=1
REPORT=$ROOT/docs/benchmarks.md

"$HERE/prerequisites.sh" wrk=wrk jq=jq curl=curl taskset=util-linux
# What is measured is what the images hold; what it is measured by is built along, with the same features.
build_release -p shop -p load -p operator -p bench --bins

WORK=$(mktemp -d)
SERVER=
end_server() {
    [[ -n $SERVER ]] || return 0
    kill "$SERVER" 2>/dev/null || true
    wait "$SERVER" 2>/dev/null || true
    SERVER=
    # What it said must not be taken for what the next one says.
    rm -f "$WORK/server.out"
}
trap 'end_server; rm -rf "$WORK"' EXIT

# The server says on its first line of output which address it got.
printed_address() {
    wait_until 30 "the server says its address" grep --quiet "http://.*[0-9]" "$WORK/server.out"
    ADDRESS=$(sed -n 's#.*http://\([0-9.:]*\).*#\1#p' "$WORK/server.out" | head -n 1)
}

# CPU time of the server so far, in microseconds: user and system time of all its threads.
cpu_micros() {
    local ticks
    ticks=$(awk '{sub(/^.*\) /, ""); print $12 + $13}' "/proc/$SERVER/stat")
    printf '%s\n' $((ticks * 1000000 / $(getconf CLK_TCK)))
}
memory_mib() { awk '/^VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$SERVER/status"; }

start_shop() {
    taskset -c "$SERVER_CORE" "$BINARIES/shop" run --data "$WORK/data" --listen 127.0.0.1:0 >"$WORK/server.out" 2>"$WORK/shop.log" &
    SERVER=$!
    printed_address
    wait_until 30 "the shop is ready" curl --fail --silent "http://$ADDRESS/readyz"
}
start_constant() {
    taskset -c "$SERVER_CORE" "$BINARIES/constant" "$1" >"$WORK/server.out" &
    SERVER=$!
    printed_address
}

# Runs wrk with the SCRIPT and appends "requests/s, CPU microseconds a request, errors, p50, p99 microseconds" to FILE.
round() {
    local script=$1 file=$2 before after result
    before=$(cpu_micros)
    result=$(QUERIES=$WORK/queries taskset -c "$CLIENT_CORE" wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_A_ROUND}s" -s "$HERE/bench/$script.lua" "http://$ADDRESS/api/v1/orders" | grep ^RESULT)
    after=$(cpu_micros)
    awk -v cpu=$((after - before)) '{printf "%.0f %.1f %d %d %d\n", $2 * 1000000 / $3, cpu / $2, $4, $5, $6}' <<<"$result" >>"$file"
}
# The median of column COLUMN of FILE.
median() { awk -v column="$2" '{print $column}' "$1" | sort -n | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }
# One row of a table: row NAME FILE
row() { printf '| %s | %s | %s | %s | %s |\n' "$1" "$(median "$2" 1)" "$(median "$2" 2)" "$(median "$2" 3)" "$(median "$2" 5)"; }

say "searches: the shop and a bare handler in turn, $ROUNDS rounds of $SECONDS_A_ROUND s"
start_shop
# Names, prefixes of names, pairs of words, SKUs and misses, from the catalogue itself.
curl --fail --silent "http://$ADDRESS/api/v1/products?limit=100" >"$WORK/products.json"
jq --raw-output '.items[] | (.name | split(" ")) as $words
    | ($words[0], $words[0][0:3], ($words[0:2] | join(" ")), .sku, "nothingofthekind")
    | "/api/v1/search?limit=20&q=\(@uri)"' "$WORK/products.json" >"$WORK/queries"
bytes=0 count=0
while read -r path; do
    bytes=$((bytes + $(curl --fail --silent "http://$ADDRESS$path" | wc -c)))
    count=$((count + 1))
done <"$WORK/queries"
size=$((bytes / count))
for ((i = 0; i < ROUNDS; i++)); do
    round searches "$WORK/searches"
    search_memory=$(memory_mib)
    end_server
    start_constant "$size"
    round searches "$WORK/constant"
    end_server
    start_shop
done

say "durable commands: creating orders, $ROUNDS rounds of $SECONDS_A_ROUND s"
for ((i = 0; i < ROUNDS; i++)); do
    round creates "$WORK/creates"
done
say "latency at the rate of the service levels' writes: 500 adds/s and 50 submits/s for 30 s, open loop"
taskset -c "$CLIENT_CORE" "$BINARIES/shop-load" run --target "http://$ADDRESS" --searches 0 --adds 500 --submits 50 --duration 30s --json "$WORK/load.json" >&2
end_server

{
    cat <<TEXT
# Benchmarks

Made by \`make bench\` on $(date -u +%F): $(nproc) cores ($(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)), Linux $(uname -r), commit $(git -C "$ROOT" rev-parse --short HEAD).
The server runs on core $SERVER_CORE, the generator on core $CLIENT_CORE; medians of $ROUNDS rounds of $SECONDS_A_ROUND s, both sides of a comparison in turn in one run.
On a shared machine trust the ratio and the CPU columns first.

## One web process searching, beside a bare axum handler that returns a constant of the same size ($size bytes)

Closed loop, $CONNECTIONS keep-alive connections, $count queries over the sample catalogue: words, prefixes, two words, SKUs, misses.

| server | requests/s | CPU a request (us) | errors | p99 (us) |
|---|---|---|---|---|
TEXT
    row "shop run, searching" "$WORK/searches"
    row "bare handler" "$WORK/constant"
    printf '\nThe shop searches at %s of the rate of the bare handler. Peak memory of the process: %s MiB.\n' \
        "$(awk -v a="$(median "$WORK/searches" 1)" -v b="$(median "$WORK/constant" 1)" 'BEGIN {printf "%.2f", a / b}')" "$search_memory"
    cat <<TEXT

## Durable commands on Embedded storage

Creating orders, each answered when it is on disk; closed loop, $CONNECTIONS connections, one process.

| command | requests/s | CPU a request (us) | errors | p99 (us) |
|---|---|---|---|---|
TEXT
    row "create order" "$WORK/creates"
    printf '\nOpen loop at 500 adds/s and 50 submits/s for 30 s, latency from the time each was due, as shop-load reports it:\n\n```json\n'
    jq . "$WORK/load.json"
    printf '```\n'
} | tee "$REPORT"
