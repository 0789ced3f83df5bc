#!/usr/bin/env bash
# Ends the local cluster and removes everything it kept or changed, also after a killed run.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"
# shellcheck source=dev/cluster/sweep.sh
. "$HERE/sweep.sh"
((EUID == 0)) || fail "the local cluster belongs to root; run this as root"

lock_cluster
sweep
# A mount that is still seen here would have its content deleted with the folder.
if findmnt --list --noheadings --output TARGET | grep -qF "$RUN/"; then
    fail "something is still mounted under $RUN; unmount it and run this again"
fi
rm -rf "$RUN"
say "the local cluster is gone: processes, pods, volumes, network, $RUN"
