#!/usr/bin/env bash
# From nothing to a running shop in which something was bought. A second run is quick and changes nothing.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/target.sh
. "$HERE/lib/target.sh"
# shellcheck source=dev/lib/demo.sh
. "$HERE/lib/demo.sh"
check_target
[[ $CLUSTER != context || -n ${REGISTRY:-} ]] ||
    fail "a cluster of yours pulls its images: add REGISTRY=host/path, to which you can push and from which it can pull"

# Sets URL to where this machine reaches the shop: what its status says on the local cluster, else a tunnel for the time being.
reach_shop() {
    local port
    if [[ $CLUSTER == local ]]; then
        URL=$(kubectl get shop "$SHOP" --namespace "$DEMO_NAMESPACE" --output 'jsonpath={.status.url}')
        return
    fi
    coproc TUNNEL { exec kubectl port-forward --namespace "$DEMO_NAMESPACE" "service/$SHOP" :80 2>&1; }
    # shellcheck disable=SC2064 # this very process, now
    trap "kill $TUNNEL_PID 2>/dev/null || true" EXIT
    read -r -t 30 _ _ URL _ <&"${TUNNEL[0]}" || fail "kubectl port-forward to service/$SHOP did not start"
    port=${URL##*:}
    URL=http://127.0.0.1:$port
}

# call METHOD PATH KEY [BODY]: the answer's body, or the problem that the shop names.
call() {
    curl --silent --show-error --fail-with-body --max-time 10 --retry 5 --retry-connrefused --request "$1" \
        --header "Idempotency-Key: $3" --header 'Content-Type: application/json' ${4:+--data "$4"} "$URL/api/v1$2"
}

# Buys the first product of the list, and sets ORDER and BOUGHT. The keys are this Shop's for good, so that another run finds the same order.
buy() {
    local key sku order
    key=$(kubectl get shop "$SHOP" --namespace "$DEMO_NAMESPACE" --output 'jsonpath={.metadata.uid}')
    sku=$(call GET '/products?limit=1' none | jq -er '.items[0].sku')
    ORDER=$(call POST /orders "$key" | jq -er .id)
    call POST "/orders/$ORDER/items" demo-add "{\"sku\": \"$sku\", \"quantity\": 2}" >/dev/null
    call POST "/orders/$ORDER/submit" demo-submit >/dev/null
    wait_until 30 "order $ORDER is confirmed" confirmed
    order=$(call GET "/orders/$ORDER" none)
    BOUGHT=$(jq -r '"bought \(.items[0].quantity) x \(.items[0].name) for \(.total.amount / 100 | floor).\(.total.amount % 100 + 100 | tostring | .[1:]) \(.total.currency): order \(.id) is \(.status)"' <<<"$order")
}
confirmed() { [[ $(call GET "/orders/$ORDER" none | jq -r .status) =~ ^(confirmed|fulfilled)$ ]]; }

began=$SECONDS
"$HERE/up.sh" >/dev/null
use_target
use_client helm
made=$("$HERE/images.sh")
eval "$made"
install_chart "$REGISTRY" "$TAG"
apply_shop
say "waiting until Shop $SHOP is Ready"
kubectl wait --namespace "$DEMO_NAMESPACE" --for=condition=Ready "shop/$SHOP" --timeout=180s >/dev/null ||
    fail "Shop $SHOP is not Ready: $(kubectl get shop "$SHOP" --namespace "$DEMO_NAMESPACE" --output \
        'jsonpath={.status.conditions[?(@.type=="Ready")].message}')"
reach_shop
# Ready is known before every way to the pods leads there.
wait_until 30 "the shop answers at $URL" curl --fail --silent --max-time 5 "$URL/api/v1/products?limit=1"
buy

cat <<NEXT

$BOUGHT
The demo is ready after $((SECONDS - began)) s.

  export KUBECONFIG=$KUBECONFIG
NEXT
if [[ $CLUSTER == local ]]; then
    echo "  export PATH=$(tool_dir kubernetes):\$PATH    # kubectl"
    echo "  the shop            $URL"
    echo "  that order          $URL/orders/$ORDER"
else
    echo "  the shop            kubectl -n $DEMO_NAMESPACE port-forward service/$SHOP 8080:80, then http://127.0.0.1:8080"
    echo "  that order          http://127.0.0.1:8080/orders/$ORDER"
fi
cat <<NEXT
What to try next:
  its state           kubectl -n $DEMO_NAMESPACE get shop,deployment,hpa,pod
  every field         kubectl explain shop.spec --recursive   (and kubectl explain shop.spec.storage describes those of one part)
  kill all its pods   kubectl -n $DEMO_NAMESPACE delete pod --all   (then look at that order again)
  put it right        kubectl -n $DEMO_NAMESPACE delete service $SHOP   (the operator makes it again; a new port is in .status.url)
  your own products   kubectl -n $DEMO_NAMESPACE exec -i deploy/$SHOP-worker -- /shop catalogue import - --format csv <products.csv
  take it all away    make down${CONTEXT:+ CLUSTER=$CLUSTER CONTEXT=$CONTEXT}
NEXT
