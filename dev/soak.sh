#!/usr/bin/env bash
# The long runs of the tests that have one: dev/soak.sh runs all, SOAK=faults|cluster one of them.
#   faults   a shop on emulators behind a proxy that makes them fail, eight ways on each cloud; kept in docs/soak.md
#   cluster  the end-to-end tests again and again, each time on a new cluster, for SOAK_MINUTES (60) or until one fails
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

# Each scenario's faults last SOAK_FAULT_SECONDS (40).
soak_faults() {
    local rows report=$ROOT/docs/soak.md status=0
    rows=$(mktemp)
    "$HERE/tools.sh" moto azurite
    # The whole workspace is named so that its dependencies stay as they are compiled already.
    (cd "$ROOT" && cargo build --workspace --bins --locked)
    (cd "$ROOT" && SOAK_ROWS=$rows cargo test --workspace --locked --test process -- --ignored --test-threads=1 store_faults::) || status=1
    {
        cat <<TEXT
# Orders on a store that fails

Made by \`SOAK=faults make soak\` on $(date -u +%F): $(nproc) cores, commit $(git -C "$ROOT" rev-parse --short HEAD), debug build.
One web process and two workers with four shards keep a shop on an emulator behind a proxy. Shoppers buy one order after the
other, repeat what failed with the same key, and write a ledger. For ${SOAK_FAULT_SECONDS:-40} s the proxy does what the scenario says to
a share of the requests (\`e2e/tests/process/store_faults/scenarios.rs\`). A scenario has passed when every fault of its kinds
happened, every shopper ended with a confirmed order, orders were made on all shards within a minute after the last fault, no
process ended by itself, no database gave up, and \`shop verify --ledger\`, straight on the emulator, found nothing lost,
doubled, phantom or corrupt.

Requests and answers are those at the proxy while it failed; an answer may belong to a request from just before.
Orders are those of the whole run.

| scenario | cloud | requests | answered by the store | faults | orders acknowledged | orders stored | attempts repeated | orders made again after (s) | verdict |
|---|---|---|---|---|---|---|---|---|---|
TEXT
        cat "$rows"
    } | tee "$report"
    rm -f "$rows"
    ((status == 0)) || fail "a scenario failed; what its processes printed is above"
}

soak_cluster() {
    local began end rounds=0
    "$HERE/cluster/prepare.sh"
    "$HERE/tools.sh" helm kubeconform browser
    "$HERE/images.sh" --build-only
    began=$SECONDS
    end=$((began + ${SOAK_MINUTES:-60} * 60))
    while ((SECONDS < end)); do
        rounds=$((rounds + 1))
        say "round $rounds"
        "$HERE/isolated.sh" "$HERE/end-to-end.sh" || fail "round $rounds failed after $(((SECONDS - began) / 60)) min; logs are in $CACHE/isolated-log"
    done
    say "$rounds rounds passed in $(((SECONDS - began) / 60)) min"
}

PARTS=(faults cluster)
[[ -z ${SOAK:-} || " ${PARTS[*]} " == *" $SOAK "* ]] || fail "SOAK=$SOAK is unknown; it is one of ${PARTS[*]}, or empty for all"
for part in ${SOAK:-"${PARTS[@]}"}; do
    say "soak: $part"
    "soak_$part"
done
