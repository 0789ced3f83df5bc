# Installs and removes what the demo puts into a cluster; sourced after common.sh and use_target, never run.
# shellcheck shell=bash

RELEASE=cloudshop
SYSTEM_NAMESPACE=cloudshop-system
DEMO_NAMESPACE=cloudshop-demo

# helm status as JSON, or nothing when there is no release.
release_status() { helm status "$RELEASE" --namespace "$SYSTEM_NAMESPACE" --output json 2>/dev/null || true; }
release_settled() { [[ $(release_status | jq -r .info.status) != pending-* ]]; }

# A helm that was killed leaves its release locked for good; one that still works on it is given its time.
unlock_release() {
    release_settled || (wait_until 120 "another helm is done with $RELEASE" release_settled) && return
    say "a killed helm left the release $RELEASE half done; taking it back"
    helm rollback "$RELEASE" --namespace "$SYSTEM_NAMESPACE" --wait --timeout 120s ||
        helm uninstall "$RELEASE" --namespace "$SYSTEM_NAMESPACE" --wait --timeout 120s
}

# Installs the chart, unless this very chart with these images is there already: install_chart REGISTRY TAG
install_chart() {
    local registry=$1 tag=$2 key there
    key=$( (cd "$ROOT/charts/cloudshop" && find . -type f -exec sha256sum {} + | sort && echo "$registry $tag") |
        sha256sum | cut -c1-12)
    there=$(release_status | jq -r 'select(.info.status == "deployed") | .info.description')
    [[ $there != "cloudshop $key" ]] || return 0
    unlock_release
    say "installing the chart charts/cloudshop into namespace $SYSTEM_NAMESPACE"
    helm upgrade "$RELEASE" "$ROOT/charts/cloudshop" --install --namespace "$SYSTEM_NAMESPACE" --create-namespace \
        --set image.repository="$registry" --set image.tag="$tag" \
        --description "cloudshop $key" --wait --timeout 120s >/dev/null
}

# The example Shop of a provider, and for a cloud the store on its emulator that the example names.
example_of() {
    case $1 in
    embedded) echo docs/examples/embedded.yaml ;;
    aws | azure)
        "$ROOT/dev/emulated-store.sh" "$1" corner-shop
        echo "docs/examples/$1-emulator.yaml"
        ;;
    esac
}

# Applies the example Shop in the demo's namespace, which holds its pods to the strictest standard, and sets SHOP.
apply_shop() {
    local example
    example=$(example_of "${PROVIDER:-embedded}")
    kubectl apply --server-side --filename - >/dev/null <<NAMESPACE
apiVersion: v1
kind: Namespace
metadata:
  name: $DEMO_NAMESPACE
  labels: {pod-security.kubernetes.io/enforce: restricted}
NAMESPACE
    SHOP=$(kubectl apply --server-side --namespace "$DEMO_NAMESPACE" --filename "$ROOT/$example" \
        --output name | sed -n 's|^shop.cloudshop.dev/||p')
    [[ -n $SHOP ]] || fail "$example holds no Shop"
}

# Removes the demo's shop with its data, the operator, and the definition of Shop when no other shop is left.
remove_demo() {
    say "removing the demo from $CONTEXT: namespaces $DEMO_NAMESPACE and $SYSTEM_NAMESPACE"
    kubectl delete namespace "$DEMO_NAMESPACE" --ignore-not-found --timeout=120s
    if [[ -n $(kubectl get shops.cloudshop.dev --all-namespaces --output name 2>/dev/null) ]]; then
        say "other Shops are left, so the operator stays"
        return
    fi
    helm uninstall "$RELEASE" --namespace "$SYSTEM_NAMESPACE" --ignore-not-found --wait --timeout 120s
    kubectl delete customresourcedefinition shops.cloudshop.dev --ignore-not-found --timeout=60s
    kubectl delete namespace "$SYSTEM_NAMESPACE" --ignore-not-found --timeout=120s
}
