#!/usr/bin/env bash
# Runs the end-to-end tests again and again, each time on a new cluster, for SOAK_MINUTES (60) or until one fails.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

"$HERE/cluster/prepare.sh"
"$HERE/tools.sh" helm kubeconform browser
"$HERE/images.sh" --build-only
end=$((SECONDS + ${SOAK_MINUTES:-60} * 60))
rounds=0
while ((SECONDS < end)); do
    rounds=$((rounds + 1))
    say "round $rounds"
    "$HERE/isolated.sh" "$HERE/end-to-end.sh" || fail "round $rounds failed after $((SECONDS / 60)) min; logs are in $CACHE/isolated-log"
done
say "$rounds rounds passed in $((SECONDS / 60)) min"
