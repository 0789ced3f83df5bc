#!/usr/bin/env bash
# Measures on this machine, prints the tables and keeps each part in a file of docs/benchmarks: BENCH=PART,PART dev/bench.sh
# The parts are search, commands, adapters and billed; all of them without BENCH.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

ALL=(search commands adapters billed)
REPORTS=$ROOT/docs/benchmarks
IFS=, read -r -a parts <<<"${BENCH:-$(
    IFS=,
    printf '%s' "${ALL[*]}"
)}"
for part in "${parts[@]}"; do
    [[ " ${ALL[*]} " == *" $part "* ]] || fail "BENCH has no part '$part'; write some of ${ALL[*]}, with commas between them"
done

"$HERE/prerequisites.sh" wrk=wrk jq=jq curl=curl taskset=util-linux openssl=openssl
# What is measured is what the images hold; what it is measured by is built along, with the same features.
build_release -p shop -p load -p operator -p bench --bins
export BINARIES

for part in "${parts[@]}"; do
    # A part that fails leaves the report of the last one that did not.
    report=$("$HERE/bench/$part.sh") || fail "$part was not measured"
    printf '%s\n' "$report" | tee "$REPORTS/$part.md"
done
