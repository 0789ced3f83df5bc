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
# Those of one provider run one after the other.
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
ON_EVERY_PROVIDER=(selling:: faults:: catalogue:: deletion:: children:: browser:: rolling:: policies:: orders:: partition:: switching:: storage::an_emptied)
PROVIDERS=${PROVIDERS:-embedded aws azure}
LOGS=$(mktemp -d)
trap 'jobs -p | xargs --no-run-if-empty kill 2>/dev/null; rm -rf "$LOGS"' EXIT
status=0
cd "$ROOT/e2e"
# tests PROVIDER [NAME...]
tests() {
    local program failed=0
    for program in "${programs[@]}"; do
        PROVIDER=$1 "$program" --ignored "${@:2}" || failed=1
    done
    return "$failed"
}
declare -A running
# begin PROVIDER [NAME...]: most of a test is waiting, so the providers' go on beside each other. Those that measure have the
# cluster to themselves (e2e/src/cluster/turn.rs).
begin() {
    say "end-to-end tests on $1 begin"
    tests "$@" >"$LOGS/$1" 2>&1 &
    running[$1]=$!
}
if [[ ${CLUSTER:-local} == local ]]; then
    emulators=$(print_emulators)
    eval "$emulators"
fi
if [[ $PROVIDERS =~ embedded ]]; then
    # Without names it runs everything but the long ones.
    if (($#)); then begin embedded "$@"; else begin embedded --skip soak:: --skip victims::; fi
fi
if [[ ${CLUSTER:-local} == local ]]; then
    (($#)) || set -- "${ON_EVERY_PROVIDER[@]}"
    [[ ! $PROVIDERS =~ aws ]] || begin aws "$@"
    [[ ! $PROVIDERS =~ azure ]] || begin azure "$@"
fi
for provider in "${!running[@]}"; do
    wait "${running[$provider]}" || status=1
    say "end-to-end tests on $provider"
    cat "$LOGS/$provider"
done
exit "$status"
