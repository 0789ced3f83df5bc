#!/usr/bin/env bash
# Builds the tools of the local cluster and of the checks, once for each version, into the cache: dev/tools.sh [NAME...]
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

ALL=(kubernetes coredns metrics-server helm kubeconform cargo-deny registry pause browser moto azurite)

# Low priority and one package at a time keep the machine usable while it builds; GOFLAGS and GOMAXPROCS can say otherwise.
go_build() {
    CGO_ENABLED=0 GOTOOLCHAIN=local nice go "$@"
}

# The version that a Kubernetes program says it is; clients refuse one that says nothing.
stamp() {
    local package=$1 version=$2 minor
    minor=${version#v*.}
    printf -- '-s -w'
    printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=%s -X %s.gitMinor=%s' \
        "$package" "$version" "$package" "$(cut -d. -f1 <<<"${version#v}")" "$package" "${minor%%.*}"
}

# Each recipe leaves its programs in the folder $1.
build_kubernetes() {
    (
        cd "$ROOT/dev/tools/kubernetes"
        go_build build -trimpath -ldflags "$(stamp k8s.io/component-base/version "$KUBERNETES_VERSION")" -o "$1/" \
            k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
        go_build build -trimpath -ldflags '-s -w' -o "$1/etcd" go.etcd.io/etcd/server/v3
    )
}
install_go() {
    GOBIN=$1 go_build install -trimpath -ldflags "${3:--s -w}" "$2"
}
build_metrics-server() {
    install_go "$1" "sigs.k8s.io/metrics-server/cmd/metrics-server@$METRICS_SERVER_VERSION" \
        "$(stamp k8s.io/client-go/pkg/version "$METRICS_SERVER_VERSION")"
}
build_coredns() { install_go "$1" "github.com/coredns/coredns@$COREDNS_VERSION"; }
build_helm() {
    install_go "$1" "helm.sh/helm/v3/cmd/helm@$HELM_VERSION" \
        "-s -w -X helm.sh/helm/v3/internal/version.version=$HELM_VERSION"
}
build_kubeconform() { install_go "$1" "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM_VERSION"; }
build_registry() { install_go "$1" "github.com/distribution/distribution/v3/cmd/registry@$REGISTRY_VERSION"; }
build_cargo-deny() {
    nice cargo install --locked --quiet --root "$1" --no-default-features "cargo-deny@$CARGO_DENY_VERSION"
    mv "$1/bin/cargo-deny" "$1/cargo-deny"
}
# The library that drives the system's Chromium, as `node_modules`.
build_browser() {
    cp "$ROOT"/e2e/browser/package{,-lock}.json "$1/"
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --prefix "$1" --no-audit --no-fund --silent >&2
}
# Emulators of the clouds: moto as a folder of Python packages, Azurite as `node_modules`.
build_moto() { python3 -m pip install --quiet --no-input --target "$1" --requirement "$ROOT/dev/tools/moto/requirements.txt" >&2; }
build_azurite() {
    cp "$ROOT"/dev/tools/azurite/package{,-lock}.json "$1/"
    npm ci --prefix "$1" --no-audit --no-fund --silent >&2
}
build_pause() { gcc -static -Os -Wall -Werror -s -o "$1/pause" "$ROOT/dev/images/pause.c"; }

build() {
    local name=$1 target staging
    target=$(tool_dir "$name")
    [[ -d $target ]] && return
    mkdir -p "$CACHE/tools"
    # One build at a time; whoever waited finds the work done. Killed builds leave only a staging folder, cleared here.
    exec {lock}>"$CACHE/tools/.$name.lock"
    flock "$lock"
    if [[ ! -d $target ]]; then
        say "building $name (once for each version; kept in $target)"
        staging=$CACHE/tools/.$name.partial
        rm -rf "$staging"
        mkdir "$staging"
        "build_$name" "$staging"
        mv -T "$staging" "$target"
    fi
    exec {lock}>&-
}

(($#)) || set -- "${ALL[@]}"
for name in "$@"; do
    build "$name"
done
