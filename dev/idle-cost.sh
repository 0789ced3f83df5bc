#!/usr/bin/env bash
# Measures what the requests of a shop without traffic cost on each cloud, by the shop's own metrics and price table:
# dev/isolated.sh dev/idle-cost.sh. Prints a table and keeps it in docs/idle-cost.md. SECONDS_MEASURED=600 can be set.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/lib/cluster.sh"
: "${KUBECONFIG:?names the cluster to measure on; run dev/isolated.sh dev/idle-cost.sh}"
MEASURED=${SECONDS_MEASURED:-600}
# By then every worker has found out that there is nothing to do.
SETTLING=90
NAMESPACE=idle-cost
REPORT=$ROOT/docs/idle-cost.md
CLOUDS=(aws azure)

images=$("$HERE/images.sh" --load-only)
eval "$images"
helm upgrade cloudshop "$ROOT/charts/cloudshop" --install --namespace cloudshop-system --create-namespace \
    --set image.repository="$REGISTRY" --set image.tag="$TAG" --wait --timeout 120s >/dev/null
kubectl create namespace "$NAMESPACE" >/dev/null
for cloud in "${CLOUDS[@]}"; do
    "$HERE/emulated-store.sh" "$cloud" corner-shop
    kubectl apply --server-side --namespace "$NAMESPACE" --filename "$ROOT/docs/examples/$cloud-emulator.yaml" >/dev/null
    # Two web pods and one worker, whatever else the machine does.
    kubectl patch shop "corner-$cloud" --namespace "$NAMESPACE" --type merge --patch \
        '{"spec": {"web": {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}, "worker": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}}}}' >/dev/null
done
kubectl wait --namespace "$NAMESPACE" --for=condition=Ready shop --all --timeout=180s >/dev/null

# Sums a counter over all pods of a shop: counter SHOP NAME
counter() {
    local address
    for address in $(kubectl get pods --namespace "$NAMESPACE" --selector "app.kubernetes.io/instance=$1" \
        --output 'jsonpath={.items[*].status.podIP}'); do
        curl --fail --silent --max-time 10 "http://$address:9090/metrics"
    done | awk -v name="$2" 'index($0, name) == 1 {sum += $NF} END {printf "%.9f\n", sum}'
}

say "letting the shops settle for $SETTLING s, then measuring for $MEASURED s"
sleep "$SETTLING"
declare -A COST_BEFORE REQUESTS_BEFORE
for cloud in "${CLOUDS[@]}"; do
    COST_BEFORE[$cloud]=$(counter "corner-$cloud" shop_store_cost_dollars_total)
    REQUESTS_BEFORE[$cloud]=$(counter "corner-$cloud" shop_store_requests_total)
done
sleep "$MEASURED"
{
    cat <<TEXT
# What a shop without traffic costs in requests

Made by \`dev/isolated.sh dev/idle-cost.sh\` on $(date -u +%F), commit $(git -C "$ROOT" rev-parse --short HEAD): two web pods, one worker, four shards,
on the emulators, counted by the shop's own metrics for $MEASURED s and priced by the list prices in
\`storage-adapters/src/decorators/prices.rs\`. Requests are counted where they leave, as they are billed.

| provider | requests an hour | dollars an hour |
|---|---|---|
TEXT
    for cloud in "${CLOUDS[@]}"; do
        cost=$(counter "corner-$cloud" shop_store_cost_dollars_total)
        requests=$(counter "corner-$cloud" shop_store_requests_total)
        awk -v cloud="$cloud" -v seconds="$MEASURED" -v cost="$cost" -v cost_before="${COST_BEFORE[$cloud]}" \
            -v requests="$requests" -v requests_before="${REQUESTS_BEFORE[$cloud]}" 'BEGIN {
                printf "| %s | %.0f | %.4f |\n", cloud, (requests - requests_before) * 3600 / seconds, (cost - cost_before) * 3600 / seconds
            }'
    done
} | tee "$REPORT"
