#!/usr/bin/env bash
# Durable commands on Embedded storage: capacity with wrk (closed loop), latency with shop-load (open loop).
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=dev/lib/bench.sh
. "$ROOT/dev/lib/bench.sh"

say "durable commands: creating orders, $ROUNDS rounds of $SECONDS_A_ROUND s"
begin_shop
for ((i = 0; i < ROUNDS; i++)); do
    round shop creates "$WORK/creates"
done
say "latency at the rate of the service levels' writes: 500 adds/s and 50 submits/s for 30 s, open loop"
taskset -c "$CLIENT_CORE" "$BINARIES/shop-load" run --target "http://$ADDRESS" --searches 0 --adds 500 --submits 50 \
    --duration 30s --json "$WORK/load.json" >&2

title commands "Durable commands on Embedded storage"
cat <<TEXT

Creating orders, each answered when it is on disk; closed loop, $CONNECTIONS connections, one process, medians of $ROUNDS rounds of $SECONDS_A_ROUND s.

| command | requests/s | CPU a request (us) | errors | p99 (us) |
|---|---|---|---|---|
TEXT
row "create order" "$WORK/creates"
printf '\nOpen loop at 500 adds/s and 50 submits/s for 30 s, latency from the time each was due, as shop-load reports it:\n\n```json\n'
jq . "$WORK/load.json"
printf '```\n'
