#!/usr/bin/env bash
# Runs a command with a cluster of its own, then removes that cluster: dev/isolated.sh COMMAND [ARGUMENT...]
# The cluster and the command live in network, mount and process namespaces that nothing outlives, so a running demo
# never notices them, and a killed run leaves nothing that goes on. The command finds KUBECONFIG, and in
# CLOUDSHOP_NODE_ROOT the file system as the cluster's node sees it. There is no way out to the internet inside.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
(($#)) || fail "no command given: dev/isolated.sh COMMAND [ARGUMENT...]"
((EUID == 0)) || fail "an isolated cluster needs root (namespaces); run this as root"

# One at a time on a machine: the folder is always the same, so that the next run finds what a killed one left.
export CLOUDSHOP_RUN=$CACHE/isolated
mkdir -p "$CACHE"
exec {lock}>"$CACHE/isolated.lock"
flock --nonblock "$lock" || say "another isolated run has the machine; waiting for its end (at most an hour)"
flock --timeout 3600 "$lock" || fail "another isolated run has held $CACHE/isolated.lock for an hour"

"$HERE/cluster/prepare.sh"
"$HERE/cluster/down.sh" 2>/dev/null

inside=
# shellcheck disable=SC2317 # called by the trap
end() {
    local status=$?
    trap - EXIT
    # Killed with it: every process in its namespaces.
    [[ -z $inside ]] || kill -KILL "$inside" 2>/dev/null || true
    wait
    # The last run's logs are worth more than their room.
    rm -rf "$CACHE/isolated-log"
    [[ ! -d $CLOUDSHOP_RUN/log ]] || mv "$CLOUDSHOP_RUN/log" "$CACHE/isolated-log"
    "$HERE/cluster/down.sh" 2>/dev/null || say "leftovers in $CLOUDSHOP_RUN; the next run removes them"
    exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

setpriv --pdeathsig KILL unshare --net --mount --propagation slave --pid --fork --kill-child --mount-proc \
    "$HERE/cluster/inside.sh" "$@" <&0 {lock}>&- &
inside=$!
status=0
wait "$inside" || status=$?
inside=
exit "$status"
