#!/usr/bin/env bash
# Runs the end-to-end tests against the cluster that KUBECONFIG names; isolated.sh starts one and then this.
# The tests find in the environment: KUBECONFIG, CLOUDSHOP_NODE_ROOT (the node's file system), REGISTRY and TAG (the
# images), kubectl, helm and kubeconform on PATH, and NODE_PATH (the library that drives Chromium).
# Arguments go to the test programs, so a name or a part of one picks tests. PROVIDERS="embedded aws azure" picks providers.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/lib/cluster.sh"
# shellcheck source=dev/lib/emulators.sh
. "$HERE/lib/emulators.sh"
: "${KUBECONFIG:?names the cluster to test on}"
use_tools kubernetes helm kubeconform
NODE_PATH=$(tool_dir browser)/node_modules
export NODE_PATH
# They share one small machine and measure times, so one after the other.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-1}

if [[ ${CLUSTER:-local} != context ]]; then
    images=$("$HERE/images.sh" --load-only)
    eval "$images"
    export REGISTRY TAG
fi

# The programs as `cargo test --workspace` built them: naming the package to cargo would choose other features of its
# dependencies, and compile those once more.
cd "$ROOT"
mapfile -t programs < <(
    cargo test --workspace --locked --no-run --message-format json |
        jq -r 'select(.reason == "compiler-artifact" and .profile.test and .target.name == "cluster")
               | select(.manifest_path | endswith("/e2e/Cargo.toml")) | .executable // empty'
)
((${#programs[@]})) || fail "the end-to-end tests did not compile: cargo test --workspace --no-run"

# Tests that need nothing of one provider; they run on each.
ON_EVERY_PROVIDER=(selling:: faults:: catalogue:: deletion:: children:: browser:: scaling:: policies:: storage::an_emptied)
PROVIDERS=${PROVIDERS:-embedded aws azure}
status=0
cd "$ROOT/e2e"
# tests PROVIDER [NAME...]
tests() {
    local program
    say "end-to-end tests on $1"
    for program in "${programs[@]}"; do
        PROVIDER=$1 "$program" --ignored "${@:2}" || status=1
    done
}
[[ ! $PROVIDERS =~ embedded ]] || tests embedded "$@"
if [[ ${CLUSTER:-local} == local ]]; then
    emulators=$(print_emulators)
    eval "$emulators"
    (($#)) || set -- "${ON_EVERY_PROVIDER[@]}"
    [[ ! $PROVIDERS =~ aws ]] || tests aws "$@"
    [[ ! $PROVIDERS =~ azure ]] || tests azure "$@"
fi
exit "$status"
