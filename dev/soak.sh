#!/usr/bin/env bash
# The long runs of the tests that have one: dev/soak.sh runs all, SOAK=faults|simulation|partition|workers|overload|victims|switch|cluster one of them.
#   faults   a shop on emulators behind a proxy that makes them fail, eight ways on each cloud; kept in docs/soak.md
#   simulation  the order engine in a simulated world, SOAK_SEEDS (5000) seeds; kept in docs/simulation.md
#   partition  cuts between web and workers, stopped and killed workers, on a cluster, on every provider, for PARTITION_SECONDS (60)
#   workers  one of three workers killed at 550 commands a second, and the autoscaler taking workers from 1 to 3 to 1, on Embedded
#   overload  three times what one worker with a part of a core can do, and 4,000 slow connections, on Embedded; kept in
#            docs/overload.md
#   victims  twenty things that happen to whole processes and connections of a shop, on each cloud; kept in docs/victims.md
#   switch   a shop of SWITCH_ORDERS (100000) orders moves Aws, Azure, Aws, Embedded, Azure under SWITCH_RATES (2000,500,50) searches,
#            adds and submits a second; kept in docs/switch.md
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

soak_simulation() {
    local seeds=${SOAK_SEEDS:-5000} report=$ROOT/docs/simulation.md output
    # Optimised it takes a sixth of the CPU time; the first time it compiles the shop's dependencies once more.
    output=$(cd "$ROOT" && SIMULATION_COUNT=$seeds cargo test --release --locked -p shop --lib -- orders::simulation::whatever --nocapture) ||
        fail "a seed found something: $(grep SIMULATION_SEED <<<"$output")"
    {
        cat <<TEXT
# The order engine in a simulated world

Made by \`SOAK_SEEDS=$seeds SOAK=simulation make soak\` on $(date -u +%F): commit $(git -C "$ROOT" rev-parse --short HEAD), release build.
Each seed is a shop of two web pods and two to three workers whose network, clocks and processes go wrong in six ways, by turns
and at once, while twelve customers buy (\`shop/src/orders/simulation\`, ADR 14). Every seed has passed: nothing acknowledged was
lost or doubled, no order was shown without what its customer knew to be in it, and what was queued was applied within ten
seconds. The table counts how often each fault began in each place, by what the shop was doing.

TEXT
        sed -n '/ seeds, .* commands$/,/^$/p' <<<"$output"
    } | tee "$report"
}

prepare_cluster() {
    "$HERE/cluster/prepare.sh"
    "$HERE/tools.sh" moto azurite helm kubeconform browser
    "$HERE/images.sh" --build-only
}

soak_partition() {
    prepare_cluster
    PARTITION_SECONDS=${PARTITION_SECONDS:-60} "$HERE/isolated.sh" "$HERE/end-to-end.sh" partition:: --nocapture
}

soak_workers() {
    prepare_cluster
    PROVIDERS=embedded "$HERE/isolated.sh" "$HERE/end-to-end.sh" soak:: --skip soak::overload:: --skip soak::switch:: --nocapture
}

soak_overload() {
    local report=$ROOT/docs/overload.md log
    "$HERE/prerequisites.sh" slowhttptest=slowhttptest chrt=util-linux
    prepare_cluster
    build_release -p shop -p load -p operator --bins
    log=$(mktemp)
    SHOP_LOAD=$BINARIES/shop-load PROVIDERS=embedded \
        "$HERE/isolated.sh" "$HERE/end-to-end.sh" soak::overload:: --nocapture 2>&1 | tee "$log" ||
        fail "too much was not answered in time; what was printed is in $log"
    {
        cat <<TEXT
# More than a shop can do

Made by \`SOAK=overload make soak\` on $(date -u +%F): $(nproc) cores, commit $(git -C "$ROOT" rev-parse --short HEAD), release images.
A shop on the local cluster with Embedded storage and one worker gets adds, and a tenth as many creates, open loop
(\`e2e/tests/cluster/soak/overload.rs\`). Done is what was answered as durable in the order; queued is what was answered with 202,
to be applied later. Latency counts from the time that a command was due, for those that were done or queued. The slow
connections send their headers a few bytes at a time; they are closed after 5 s, and opened again. The shop that is overloaded
has one web pod, and its worker may take 0.3 of a core, in slices of 6 ms. Its peak is what it does in a second, for a minute, of
the first rate that was too much for it when the rate was doubled from 100 adds a second. What was queued was applied, each
order exactly as acknowledged, within 10 s after the overload.

TEXT
        sed -n 's/^[^|]*\(|.*|\)$/\1/p; s/^\(p99 .* slow connections: .*\)$/\n\1\n/p' "$log"
    } | tee "$report"
    rm -f "$log"
}

soak_victims() {
    local report=$ROOT/docs/victims.md providers=${PROVIDERS:-aws azure} log
    prepare_cluster
    log=$(mktemp)
    PROVIDERS=$providers "$HERE/isolated.sh" "$HERE/end-to-end.sh" victims:: --nocapture 2>&1 | tee "$log" ||
        fail "something was lost or doubled, or did not come back; what was printed is in $log"
    {
        cat <<TEXT
# What happens to a shop

Made by \`PROVIDERS="$providers" SOAK=victims make soak\` on $(date -u +%F): $(nproc) cores, commit $(git -C "$ROOT" rev-parse --short HEAD), release images.
Each line is a new shop on the local cluster, of two web pods and three workers with six order shards, carts under availability
and submits under consistency, on the emulators of a cloud. While about 100 commands a second are sent, something happens to it
for 12 s (\`e2e/tests/cluster/victims.rs\`); when it is over, 48 orders are made on all shards, each until it is persisted. A line
stands here when afterwards each order was exactly what its acknowledged commands make of it, and \`shop verify --ledger\` found
nothing lost, doubled, phantom or corrupt in the store.

| what happened | requests | commands acknowledged | by the queue | not done | unknown | all persisted again after (s) | orders |
|---|---|---|---|---|---|---|---|
TEXT
        for provider in $providers; do
            echo "| **$provider** | | | | | | | |"
            sed -n "/end-to-end tests on $provider$/,/test result/s/^.*\(| [a-z].* |\)$/\1/p" "$log"
        done
    } | tee "$report"
    rm -f "$log"
}

soak_switch() {
    local report=$ROOT/docs/switch.md log
    prepare_cluster
    build_release -p shop -p load -p operator --bins
    log=$(mktemp)
    SHOP_LOAD=$BINARIES/shop-load PROVIDERS=aws "$HERE/isolated.sh" "$HERE/end-to-end.sh" soak::switch:: --nocapture 2>&1 | tee "$log" ||
        fail "a switch did not hold what is promised; what was printed is in $log"
    {
        cat <<TEXT
# A shop that moves while people buy

Made by \`SWITCH_ORDERS=${SWITCH_ORDERS:-100000} SWITCH_RATES=${SWITCH_RATES:-2000,500,50} SOAK=switch make soak\` on $(date -u +%F): $(nproc) cores, commit $(git -C "$ROOT" rev-parse --short HEAD), release images.
A shop on the local cluster with two web pods and one to two workers moves from one emulated cloud to the other and back, to a disk
and to a cloud again (\`e2e/tests/cluster/soak/switch.rs\`). All pods, the emulators, the cluster and the generator share the cores.
Latency counts from the time that a request was due. A hold is the time for which the orders of one shard were not answered for.

TEXT
        sed -n 's/^[^|]*\(|.*|\)$/\1/; s/^| second .*$/\n&/; s/^\([0-9]* orders in the store.*\)$/\n\1\n/; /^\n*|/p; /orders in the store/p' "$log"
    } | tee "$report"
    rm -f "$log"
}

soak_cluster() {
    local began end rounds=0
    prepare_cluster
    began=$SECONDS
    end=$((began + ${SOAK_MINUTES:-60} * 60))
    while ((SECONDS < end)); do
        rounds=$((rounds + 1))
        say "round $rounds"
        "$HERE/isolated.sh" "$HERE/end-to-end.sh" || fail "round $rounds failed after $(((SECONDS - began) / 60)) min; logs are in $CACHE/isolated-log"
    done
    say "$rounds rounds passed in $(((SECONDS - began) / 60)) min"
}

PARTS=(faults simulation partition workers overload victims switch cluster)
[[ -z ${SOAK:-} || " ${PARTS[*]} " == *" $SOAK "* ]] || fail "SOAK=$SOAK is unknown; it is one of ${PARTS[*]}, or empty for all"
for part in ${SOAK:-"${PARTS[@]}"}; do
    say "soak: $part"
    "soak_$part"
done
