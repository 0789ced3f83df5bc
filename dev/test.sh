#!/usr/bin/env bash
# Runs the tests and ends by naming what it ran: dev/test.sh fast (no root, no cluster) | all (what CI runs).
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/steps.sh
. "$HERE/lib/steps.sh"
# shellcheck source=dev/lib/target.sh
. "$HERE/lib/target.sh"
cd "$ROOT"

SCOPE=${1:?fast or all}
LOGS=$CACHE/test-log
mkdir -p "$LOGS"
# Two runs at once on a machine would measure each other.
exec {lock}>"$CACHE/test.lock"
flock --nonblock "$lock" || say "another test run has the machine; waiting for its end (at most 90 minutes)"
flock --timeout 5400 "$lock" || fail "another test run has held $CACHE/test.lock for 90 minutes"

# The local cluster is one of the tests' own, apart from the one of `make up`; any other is the one that the user named.
end_to_end() {
    if [[ $CLUSTER == local ]]; then
        timeout --foreground --kill-after 60 2400 dev/isolated.sh dev/end-to-end.sh
    else
        dev/up.sh && use_target && timeout --foreground --kill-after 60 2400 dev/end-to-end.sh
    fi
}

[[ $SCOPE == fast ]] || check_target
[[ $SCOPE == fast || $CLUSTER != local ]] || step "prerequisites" dev/cluster/prepare.sh
step "lint" dev/lint.sh
step "emulators" dev/tools.sh moto azurite
# Some tests start the programs, which cargo builds for the tests of their own package only.
step "programs" cargo build --workspace --bins --locked
step_of_tests "unit, conformance and process" timeout --foreground --kill-after 60 2400 cargo test --workspace --locked --no-fail-fast
# The whole workspace is named so that its dependencies stay as they are compiled already.
step_of_tests "planted bugs are caught" timeout --foreground --kill-after 60 1200 \
    cargo test --workspace --locked --lib --features shop/planted-bugs planted
step "generated files" dev/generate.sh --check
if [[ $SCOPE == all ]]; then
    [[ $CLUSTER != local ]] || step "local cluster" timeout --foreground --kill-after 60 600 dev/cluster/test.sh
    step "tools of the tests" dev/tools.sh helm kubeconform browser
    build_only=--build-only
    [[ $CLUSTER == local ]] || build_only=
    step "images" dev/images.sh $build_only
    if [[ $OUTCOME == passed ]]; then
        TAG=$(sed -n 's/^TAG=//p' "$LOG")
        export TAG
        step "push to a registry" timeout --foreground --kill-after 60 300 dev/images-test.sh
        step_of_tests "end to end" end_to_end
    fi
fi
summary
