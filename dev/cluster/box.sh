#!/usr/bin/env bash
# The first process of a local cluster's own mount and process namespaces: starts every daemon, ends when one of them ends.
# Started by up.sh only. Whatever kills this process takes all daemons, pods and mounts of the cluster with it.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"
# shellcheck source=dev/lib/images.sh
. "$HERE/../lib/images.sh"
# shellcheck source=dev/lib/emulators.sh
. "$HERE/../lib/emulators.sh"
use_tools "${CLUSTER_TOOLS[@]}"
(($$ == 1)) || fail "box.sh is started by up.sh, in namespaces of its own"
trap 'exit 0' TERM INT

# Nothing mounted from here on is seen outside, but pods and the kubelet see each other's mounts.
share_mounts() {
    mount --make-rshared /
    local folder
    for folder in "${FIXED_FOLDERS[@]}"; do
        mkdir -p "$RUN/fixed$folder"
        mount --bind "$RUN/fixed$folder" "$folder"
    done
}

# The kubelet sets these for the whole machine, and refuses to start when it cannot. It is shown them as it wants them.
shield_kernel_settings() {
    local setting
    mkdir -p "$RUN/fixed/kernel"
    for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        local file=$RUN/fixed/kernel/${setting//\//-}
        echo "${setting#*=}" >"$file"
        mount --bind "$file" "/proc/sys/${setting%=*}"
    done
}

start() {
    local name=$1
    shift
    "$@" >>"$RUN/log/$name.log" 2>&1 &
    NAMES[$!]=$name
}

report_end() {
    say "${NAMES[$1]} ended, and the cluster with it; see $RUN/log/${NAMES[$1]}.log"
    exit 1
}

# Waits until COMMAND succeeds, unless a daemon ends: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local limit=$1 what=$2 end pid
    shift 2
    end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        for pid in "${!NAMES[@]}"; do
            kill -0 "$pid" 2>/dev/null || report_end "$pid"
        done
        ((SECONDS < end)) || fail "$what: not so after $limit s"
        sleep 0.2
    done
}

start_etcd() {
    # No fsync: this data is worth no more than the machine's uptime, and the disk is shared.
    start etcd etcd --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "unix://$RUN/etcd.sock" --advertise-client-urls http://localhost:2379 \
        --listen-peer-urls "unix://$RUN/etcd-peer.sock" --initial-advertise-peer-urls http://localhost:2380 \
        --initial-cluster default=http://localhost:2380
}

start_api_server() {
    local pki=$RUN/pki
    start kube-apiserver kube-apiserver --etcd-servers "unix://$RUN/etcd.sock" \
        --bind-address "$NODE_IP" --advertise-address "$NODE_IP" --secure-port 6443 \
        --service-cluster-ip-range "$SERVICE_RANGE" --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction --enable-aggregator-routing=true --allow-privileged=true \
        --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --client-ca-file "$pki/ca.crt" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$pki/service-accounts.key" \
        --service-account-signing-key-file "$pki/service-accounts.key" \
        --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$pki/apiserver-to-kubelet.crt" \
        --kubelet-client-key "$pki/apiserver-to-kubelet.key" \
        --requestheader-client-ca-file "$pki/front-proxy-ca.crt" \
        --requestheader-allowed-names front-proxy-client \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key"
}

start_controllers() {
    # The autoscaler looks three times as often as usual and steps down after 20 s, so that a test can see both.
    start kube-controller-manager kube-controller-manager --kubeconfig "$RUN/pki/controller-manager.kubeconfig" \
        --secure-port 0 --leader-elect=false --allocate-node-cidrs=false \
        --service-account-private-key-file "$RUN/pki/service-accounts.key" --root-ca-file "$RUN/pki/ca.crt" \
        --use-service-account-credentials \
        --horizontal-pod-autoscaler-sync-period 5s --horizontal-pod-autoscaler-downscale-stabilization 20s \
        --horizontal-pod-autoscaler-initial-readiness-delay 5s \
        --horizontal-pod-autoscaler-cpu-initialization-period 10s
    start kube-scheduler kube-scheduler --kubeconfig "$RUN/pki/scheduler.kubeconfig" --secure-port 0 --leader-elect=false
}

start_node() {
    start kubelet kubelet --config "$RUN/kubelet.yaml" --kubeconfig "$RUN/pki/kubelet.kubeconfig" \
        --root-dir "$RUN/kubelet" --cert-dir "$RUN/kubelet/pki" --hostname-override "$NODE_NAME" --node-ip "$NODE_IP"
    start kube-proxy kube-proxy --config "$RUN/proxy.yaml"
}

start_metrics_server() {
    local config=$RUN/pki/metrics-server.kubeconfig
    # 15 s is the shortest resolution it takes.
    start metrics-server metrics-server --kubeconfig "$config" --authentication-kubeconfig "$config" \
        --authorization-kubeconfig "$config" --bind-address "$NODE_IP" --secure-port "$METRICS_PORT" \
        --tls-cert-file "$RUN/pki/metrics-server.crt" --tls-private-key-file "$RUN/pki/metrics-server.key" \
        --kubelet-certificate-authority "$RUN/pki/ca.crt" --kubelet-preferred-address-types InternalIP \
        --metric-resolution 15s
}

declare -A NAMES
share_mounts
shield_kernel_settings
start_etcd
start containerd containerd --config "$RUN/containerd.toml"
start_api_server
wait_for 180 "the API server answers" kubectl get --raw /readyz
start_controllers
wait_for 60 "containerd answers" containerd_client version
containerd_client images import "$(archive_of pause)" >/dev/null
containerd_client images import "$(archive_of coredns)" >/dev/null
start_node
start_metrics_server
start provisioner "$HERE/provisioner.sh"
start aws-emulator "$HERE/../emulator.sh" aws "$NODE_IP" "$AWS_PORT" "$AWS_QUEUE_PORT"
start azure-emulator "$HERE/../emulator.sh" azure "$NODE_IP" "$AZURE_BLOB_PORT" "$AZURE_QUEUE_PORT"

ended=
wait -n -p ended || true
report_end "$ended"
