#!/usr/bin/env bash
# The first process of an isolated run: starts the cluster, then the command given to isolated.sh, and ends with it.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"
(($$ == 1)) || fail "inside.sh is started by isolated.sh, in namespaces of its own"
trap 'exit 143' TERM INT

ip link set lo up
"$HERE/up.sh" </dev/null
use_tools kubernetes helm
KUBECONFIG=$RUN/kubeconfig
CLOUDSHOP_NODE_ROOT=/proc/$(node_pid)/root
export KUBECONFIG CLOUDSHOP_NODE_ROOT CARGO_NET_OFFLINE=true
"$@" <&0 &
wait "$!"
