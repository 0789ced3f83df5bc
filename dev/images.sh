#!/usr/bin/env bash
# Builds the images cloudshop/shop and cloudshop/operator FROM scratch, then loads them into the cluster or pushes them.
# Reads CLUSTER, CONTEXT, REGISTRY and TAG as the Makefile does; prints REGISTRY= and TAG= of what it made, for a shell to take over.
# --build-only stops before loading; --load-only loads what an earlier run built.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/images.sh
. "$HERE/lib/images.sh"

STEP=${1:-all}
# Without a registry the names are the ones that the chart has by default, as Kubernetes writes them out.
LOCAL_REGISTRY=docker.io/cloudshop
KEPT_BUILDS=3

# The name says what is inside, so that a cluster never takes an old image for the new one.
content_tag() { cat "$BINARIES"/{shop,shop-load,operator} | sha256sum | cut -c1-12 | sed 's/^/dev-/'; }

archive() { printf '%s/images/%s-%s.tar' "$CACHE" "$1" "$TAG"; }

build_images() {
    say "building images cloudshop/{shop,operator}:$TAG"
    scratch_image "$LOCAL_REGISTRY/shop:$TAG" "$(archive shop)" 65532:65532 /shop "$BINARIES"/{shop,shop-load}
    scratch_image "$LOCAL_REGISTRY/operator:$TAG" "$(archive operator)" 65532:65532 /operator "$BINARIES/operator"
    local image
    for image in shop operator; do
        find "$CACHE/images" -name "$image-*.tar" -printf '%T@ %p\n' | sort -rn | tail -n +$((KEPT_BUILDS + 1)) |
            cut -d' ' -f2- | xargs --no-run-if-empty rm -f
    done
}

load() {
    local image
    for image in shop operator; do
        case ${CLUSTER:-local} in
        local)
            containerd_client images ls -q "name==$LOCAL_REGISTRY/$image:$TAG" | grep -q . ||
                containerd_client images import "$(archive "$image")" >&2
            ;;
        kind)
            kind load image-archive "$(archive "$image")" --name "${CONTEXT:-cloudshop}" >&2
            ;;
        esac
    done
}

push() {
    local image verify=true
    # A registry on this machine usually speaks plain http; buildah would insist on TLS.
    [[ $REGISTRY =~ ^(localhost|127\.|\[::1\]) ]] && verify=false
    for image in shop operator; do
        say "pushing $REGISTRY/$image:$TAG"
        push_archive "$(archive "$image")" "$REGISTRY/$image:$TAG" "$verify"
    done
}

[[ ${CLUSTER:-local} != context || -n ${REGISTRY:-} || $STEP == --build-only ]] ||
    fail "images reach a cluster of yours by a registry: add REGISTRY=host/path, which the cluster can pull from"
if [[ $STEP == --load-only ]]; then
    TAG=${TAG:-$(cat "$CACHE/images/latest" 2>/dev/null)} || fail "no image was built yet: make images"
else
    build_release -p shop -p load -p operator --bins
    content=$(content_tag)
    : "${TAG:=$content}"
    # A tag of the user's is built anew, one that names its content only once.
    [[ $TAG == "$content" && -f $(archive shop) && -f $(archive operator) ]] || build_images
    touch "$(archive shop)" "$(archive operator)"
    printf '%s\n' "$TAG" >"$CACHE/images/latest"
fi
if [[ $STEP != --build-only ]]; then
    if [[ -n ${REGISTRY:-} ]]; then
        push
    else
        # shellcheck source=dev/lib/cluster.sh
        . "$HERE/lib/cluster.sh"
        load
    fi
fi
printf 'REGISTRY=%s\nTAG=%s\n' "${REGISTRY:-$LOCAL_REGISTRY}" "$TAG"
