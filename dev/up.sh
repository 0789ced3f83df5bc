#!/usr/bin/env bash
# Starts or finds the cluster that CLUSTER names, and prints how to reach it.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/target.sh
. "$HERE/lib/target.sh"
check_target

case $CLUSTER in
local) "$HERE/cluster/up.sh" ;;
kind)
    mkdir -p "$RUN_FOLDER"
    if ! kind get clusters 2>/dev/null | grep -qx "$KIND_NAME"; then
        say "kind creates the cluster $KIND_NAME"
        kind create cluster --name "$KIND_NAME" --kubeconfig "$RUN_FOLDER/kind.kubeconfig" --wait 120s
    fi
    kind export kubeconfig --name "$KIND_NAME" --kubeconfig "$RUN_FOLDER/kind.kubeconfig"
    ;;
esac
use_target
kubectl get --raw /readyz >/dev/null || fail "the cluster does not answer: kubectl --kubeconfig $KUBECONFIG get --raw /readyz"
printf 'export KUBECONFIG=%s\n' "$KUBECONFIG"
if [[ $CLUSTER == local ]]; then
    # shellcheck disable=SC2016 # for the shell that it is pasted into
    printf 'export PATH=%s:$PATH\n' "$(tool_dir kubernetes)"
    # shellcheck source=dev/lib/cluster.sh
    . "$HERE/lib/cluster.sh"
    # shellcheck source=dev/lib/emulators.sh
    . "$HERE/lib/emulators.sh"
    print_emulators
fi
