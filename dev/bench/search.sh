#!/usr/bin/env bash
# Searches of one web process beside a bare handler. Capacity is measured with wrk, a closed loop, which says nothing about latency.
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=dev/lib/bench.sh
. "$ROOT/dev/lib/bench.sh"

say "searches: the shop and a bare handler in turn, $ROUNDS rounds of $SECONDS_A_ROUND s"
begin_shop
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
    ((i == 0)) || begin_shop
    round shop searches "$WORK/searches"
    memory=$(memory_mib shop)
    end shop
    begin constant "$SERVER_CORE" "$BINARIES/constant" "$size"
    printed_address constant
    round constant searches "$WORK/constant"
    end constant
done

title search "One web process searching, beside a bare handler"
cat <<TEXT

The handler is one of axum that returns a constant of the same size ($size bytes). Medians of $ROUNDS rounds of $SECONDS_A_ROUND s, in turn;
closed loop, $CONNECTIONS keep-alive connections, $count queries over the sample catalogue: words, prefixes, two words, SKUs, misses.

| server | requests/s | CPU a request (us) | errors | p99 (us) |
|---|---|---|---|---|
TEXT
row "shop run, searching" "$WORK/searches"
row "bare handler" "$WORK/constant"
printf '\nThe shop searches at %s of the rate of the bare handler. Peak memory of the process: %s MiB.\n' \
    "$(awk -v a="$(median "$WORK/searches" 1)" -v b="$(median "$WORK/constant" 1)" 'BEGIN {printf "%.2f", a / b}')" "$memory"
