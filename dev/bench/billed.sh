#!/usr/bin/env bash
# Requests that a shop makes of its store for 10,000 commands, on each provider, by the shop's own metrics and price table.
# The clouds are emulated, so what is measured is what would be billed, and no speed.
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=dev/lib/bench.sh
. "$ROOT/dev/lib/bench.sh"

PROVIDERS=(Embedded Aws Azure)
# In a second: orders made and submitted, and items added to them.
SUBMITS=${SUBMITS:-50} ADDS=${ADDS:-100}
SECONDS_MEASURED=${SECONDS_MEASURED:-50}
# By then a new shop has its catalogue and nothing to do; and after the last command its confirmations are made.
SETTLING=15
# Nothing here is about speed, so the shop takes whatever the emulators leave.
CORES=$SERVER_CORE,$CLIENT_CORE
OPERATIONS=(put put_stream copy list get head delete send receive extend ack depth)

# Writes the config of a shop on PROVIDER, whose store is called 'billed': config PROVIDER
config() {
    cat <<TEXT
format = 1

[shop]
name = "billed"
namespace = "bench"
uid = "billed-$1"
initialise = true
adopt_existing = false

[orders]
shards = 4

[catalogue]
sample = true

[internal]
token_file = "$WORK/token"

[storage]
provider = "$1"
TEXT
    case $1 in
    Embedded) printf '\n[storage.embedded]\npath = "%s/store"\n' "$WORK" ;;
    Aws)
        printf '\n[storage.aws]\nregion = "%s"\nbucket = "billed"\nqueue = "billed"\ncredentials = "environment"\n' "$AWS_REGION"
        printf '\n[storage.aws.endpoint]\nblob = "%s"\nqueue = "%s"\n' "$AWS_URL" "$AWS_URL"
        ;;
    Azure)
        printf '\n[storage.azure]\naccount = "%s"\ncontainer = "billed"\nqueue = "billed"\ncredentials = "environment"\n' "$AZURE_ACCOUNT"
        printf '\n[storage.azure.endpoint]\nblob = "%s"\nqueue = "%s"\n' "$AZURE_BLOB_URL" "$AZURE_QUEUE_URL"
        ;;
    esac
}

# What web and worker have counted so far: a line for each operation and one of dollars.
counted() {
    local address
    for address in "$WEB_IP" "$WORKER_IP"; do
        curl --fail --silent --max-time 10 "http://$address:9090/metrics"
    done | awk '
        match($1, /^shop_store_requests_total\{operation="[a-z_]*"/) {sum[substr($1, 38, RLENGTH - 38)] += $2}
        $1 == "shop_store_cost_dollars_total" {sum["dollars"] += $2}
        END {for (name in sum) printf "%s %.9f\n", name, sum[name]}'
}

# Appends what 10,000 commands took to $WORK/PROVIDER: measure PROVIDER
measure() {
    local provider=$1 commands failed
    config "$provider" >"$WORK/shop.toml"
    begin worker "$CORES" env POD_IP="$WORKER_IP" "$BINARIES/shop" worker --config "$WORK/shop.toml" --listen "$WORKER_IP"
    begin web "$CORES" "$BINARIES/shop" web --config "$WORK/shop.toml" --listen "$WEB_IP"
    wait_until 60 "the worker is ready" curl --fail --silent "http://$WORKER_IP:9090/readyz"
    wait_until 60 "the shop is ready" curl --fail --silent "http://$WEB_IP:9090/readyz"
    sleep "$SETTLING"
    counted >"$WORK/before"
    say "$provider: $ADDS adds/s and $SUBMITS submits/s for $SECONDS_MEASURED s"
    taskset -c "$CLIENT_CORE" "$BINARIES/shop-load" run --target "http://$WEB_IP:8080" --adds "$ADDS" --submits "$SUBMITS" \
        --duration "${SECONDS_MEASURED}s" --json "$WORK/load.json" >&2
    sleep "$SETTLING"
    counted >"$WORK/after"
    end web
    end worker
    commands=$(jq '[.kinds[].requests] | add' "$WORK/load.json")
    failed=$(jq '[.kinds[] | .requests - .ok] | add' "$WORK/load.json")
    awk -v commands="$commands" -v failed="$failed" 'NR == FNR {before[$1] = $2; next}
        {print $1, ($2 - before[$1]) * 10000 / commands}
        END {print "commands", commands; print "failed", failed}' "$WORK/before" "$WORK/after" >"$WORK/$provider"
}

# What PROVIDER took of the operations NAME...: of PROVIDER NAME...
of() {
    local provider=$1
    shift
    awk -v names=" $* " 'index(names, " " $1 " ") {sum += $2} END {print sum + 0}' "$WORK/$provider"
}
# A row of the table: cells NAME FORMAT OPERATION...
cells() {
    local name=$1 format=$2 provider
    shift 2
    printf '| %s |' "$name"
    for provider in "${PROVIDERS[@]}"; do
        # shellcheck disable=SC2059 # the caller's
        printf " $format |" "$(of "$provider" "$@")"
    done
    printf '\n'
}

printf 'a-token-for-this-bench-alone' >"$WORK/token"
begin_emulator aws
make_aws_store billed
begin_emulator azure
make_azure_store billed
for provider in "${PROVIDERS[@]}"; do
    measure "$provider"
done

title billed "Requests billed for 10,000 commands"
cat <<TEXT

One web process and one worker with four shards; shop-load makes $SUBMITS orders a second, adds $ADDS items a second and submits
$SUBMITS orders a second, which are $((2 * SUBMITS + ADDS)) commands a second, for $SECONDS_MEASURED s. The shop takes both cores. The clouds are emulators. Counted by the shop's own
\`shop_store_requests\` from the first command until $SETTLING s after the last, what an idle shop asks included, and priced by
\`storage-adapters/src/decorators/prices.rs\`. A disk charges nothing.

| for 10,000 commands | ${PROVIDERS[0]} | ${PROVIDERS[1]} | ${PROVIDERS[2]} |
|---|---|---|---|
TEXT
cells "commands sent" %.0f commands
cells "of them not answered in time" %.0f failed
cells "blobs written or listed" %.0f put put_stream copy list
cells "blobs read" %.0f get head
cells "blobs deleted, which is free" %.0f delete
cells "of the queue" %.0f send receive extend ack depth
cells "**dollars**" %.4f dollars
printf '\n| requests, by operation | %s | %s | %s |\n|---|---|---|---|\n' "${PROVIDERS[@]}"
for operation in "${OPERATIONS[@]}"; do
    cells "$operation" %.0f "$operation"
done
