# Paths, messages and small helpers that every script of dev/ shares; sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/cloudshop
# shellcheck source=dev/versions.sh
. "$ROOT/dev/versions.sh"

say() { printf '==> %s\n' "$*" >&2; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Waits until COMMAND succeeds, looking five times a second: wait_until SECONDS WHAT COMMAND...
wait_until() {
    local limit=$1 what=$2 end
    shift 2
    end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "$what: not so after $limit s"
        sleep 0.2
    done
}

# Builds for the images, and for measuring what is in them, and says in BINARIES where: build_release ARGUMENT...
build_release() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # shellcheck disable=SC2034 # for the caller
    BINARIES=${CARGO_TARGET_DIR:-$ROOT/target}/$host/release
    # Static, since nothing else is in an image. The target is named so that build scripts stay ordinary programs.
    (cd "$ROOT" && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$host" "$@") >&2
}

# Where the built tool NAME is kept. The key changes with everything that goes into the build.
tool_dir() {
    local name=$1 key
    case $name in
    kubernetes) key=$KUBERNETES_VERSION-$(cat "$ROOT"/dev/tools/kubernetes/go.{mod,sum} | sha256sum | cut -c1-12) ;;
    metrics-server) key=$METRICS_SERVER_VERSION ;;
    coredns) key=$COREDNS_VERSION ;;
    helm) key=$HELM_VERSION ;;
    kubeconform) key=$KUBECONFORM_VERSION ;;
    registry) key=$REGISTRY_VERSION ;;
    cargo-deny) key=$CARGO_DENY_VERSION ;;
    browser) key=$(cat "$ROOT"/e2e/browser/package{,-lock}.json | sha256sum | cut -c1-12) ;;
    moto) key=$(sha256sum "$ROOT/dev/tools/moto/requirements.txt" | cut -c1-12) ;;
    azurite) key=$(cat "$ROOT"/dev/tools/azurite/package{,-lock}.json | sha256sum | cut -c1-12) ;;
    pause) key=$(sha256sum "$ROOT/dev/images/pause.c" | cut -c1-12) ;;
    *) fail "no tool is called $name" ;;
    esac
    printf '%s/tools/%s-%s\n' "$CACHE" "$name" "$key"
}

# Puts the tools that are built before everything else on PATH: use_tools NAME...
use_tools() {
    local name
    for name in "$@"; do
        PATH=$(tool_dir "$name"):$PATH
    done
    export PATH
}
