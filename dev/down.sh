#!/usr/bin/env bash
# Ends the cluster that CLUSTER names. A cluster of the user's loses only what `make demo` put there.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/target.sh
. "$HERE/lib/target.sh"
check_target

case $CLUSTER in
local) "$HERE/cluster/down.sh" ;;
kind)
    kind delete cluster --name "$KIND_NAME" --kubeconfig "$RUN_FOLDER/kind.kubeconfig"
    rm -f "$RUN_FOLDER/kind.kubeconfig"
    ;;
context)
    use_target
    use_client helm
    # shellcheck source=dev/lib/demo.sh
    . "$HERE/lib/demo.sh"
    remove_demo
    rm -f "$KUBECONFIG"
    ;;
esac
