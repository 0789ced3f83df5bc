#!/usr/bin/env bash
# Each cloud's adapter beside bare loops of its SDK, on the emulators.
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=dev/lib/bench.sh
. "$ROOT/dev/lib/bench.sh"

begin_emulator aws
begin_emulator azure
for side in adapter bare; do
    make_aws_store "bench-$side"
    make_azure_store "bench-$side"
done
say "adapters: each beside a bare loop, $ROUNDS rounds"
taskset -c "$CLIENT_CORE" "$BINARIES/adapters" "$ROUNDS" >"$WORK/tables"

title adapters "The adapters of the clouds, beside bare loops of their SDKs"
cat <<TEXT

Both sides do the same with a store of their own on one emulator, one operation after the other, an adapter as the shop
opens it, with all decorators. Medians of $ROUNDS rounds of 400 blobs and messages, 20 listings and 40 receives each; within a
round both take 20 turns at each operation, and who begins changes from turn to turn. CPU is user and system time of the
process that drives both, for an operation. The emulators' own time is most of each latency and rate. The SDKs have their own
defaults; that of Azure has no transport in this build, so a bare loop gets one of \`reqwest\`, which is the SDK's own otherwise.
TEXT
cat "$WORK/tables"
