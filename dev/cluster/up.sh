#!/usr/bin/env bash
# Starts the local single-node cluster, or finds it running; prints where its kubeconfig is.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"
# shellcheck source=dev/lib/emulators.sh
. "$HERE/../lib/emulators.sh"
# shellcheck source=dev/cluster/pki.sh
. "$HERE/pki.sh"
# shellcheck source=dev/cluster/configuration.sh
. "$HERE/configuration.sh"
# shellcheck source=dev/cluster/sweep.sh
. "$HERE/sweep.sh"
use_tools "${CLUSTER_TOOLS[@]}"

make_network() {
    local owner
    owner=$(device_owner)
    [[ -z $owner || $owner == "$RUN" ]] ||
        fail "the cluster in $owner has this machine's $NODE_IP; end it first: CLOUDSHOP_RUN=$owner make down"
    ! ip -brief addr | grep -qF "$NODE_IP/" ||
        fail "this machine uses $NODE_IP, which the local cluster needs, for something else: ip addr shows for what"
    cat /proc/sys/net/ipv4/ip_forward >"$FORWARDING_BEFORE"
    # A bridge without ports: any kernel has it, and it keeps an address up with no cable plugged in.
    ip link add "$DEVICE" type bridge
    ip link set "$DEVICE" alias "$RUN"
    ip addr add "$NODE_IP/32" dev "$DEVICE"
    ip link set "$DEVICE" up
    # What no pod or Service answers to ends here, not at the machine's gateway.
    ip route add "$CLUSTER_RANGE" dev "$DEVICE" src "$NODE_IP"
}

# The pods together get eight times as much of the cores as all daemons of the cluster, when both want them: on a real node
# the control plane, the clouds and the shoppers have machines of their own.
POD_SHARES=8192

# The kubelet wants its root group to be there, in each hierarchy of version 1 or in the one of version 2.
make_control_groups() {
    local root=/sys/fs/cgroup hierarchy file
    if [[ -f $root/cgroup.controllers ]]; then
        mkdir -p "$root/$CGROUP"
        for file in "$root/cgroup.subtree_control" "$root/$CGROUP/cgroup.subtree_control"; do
            echo '+cpu +cpuset +io +memory +pids' >"$file" || fail "$file takes no controllers; the kubelet needs them"
        done
        echo $((POD_SHARES / 10)) >"$root/$CGROUP/cpu.weight"
        return
    fi
    for hierarchy in "$root"/*/; do
        # Two names may lead to one hierarchy (cpu, cpuacct), and the empty unified one has no controllers.
        [[ -f $hierarchy/cgroup.procs && ! -f $hierarchy/cgroup.controllers ]] || continue
        mkdir -p "$hierarchy$CGROUP"
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -f $hierarchy$file ]] || cat "$hierarchy$file" >"$hierarchy$CGROUP/$file"
        done
        [[ ! -f $hierarchy$CGROUP/cpu.shares ]] || echo "$POD_SHARES" >"$hierarchy$CGROUP/cpu.shares"
    done
}

start_box() {
    local group=/sys/fs/cgroup/pids/$CGROUP/daemons
    [[ -d /sys/fs/cgroup/pids ]] || group=/sys/fs/cgroup/$CGROUP/daemons
    mkdir -p "$group"
    mkdir -p "$RUN/log" "$RUN/volumes"
    local keep_log
    for keep_log in "$RUN"/log/*.log; do
        [[ ! -f $keep_log ]] || mv "$keep_log" "$keep_log.before"
    done
    # Its daemons stay in a control group of the cluster, by which they are found even when the run folder was deleted.
    # The lock is not passed on: it is this script's.
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec setsid unshare --mount --propagation slave --pid --fork --kill-child --mount-proc "$HERE/box.sh"
    ) </dev/null >"$RUN/log/box.log" 2>&1 {CLUSTER_LOCK}>&- &
    printf '%s %s\n' "$!" "$(start_time "$!")" >"$RUN/box.pid"
    disown
}

# Like wait_until, but gives up at once when the box has ended.
wait_for() {
    local limit=$1 what=$2 end
    shift 2
    end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        box_pid >/dev/null || fail "the cluster ended while starting; the last lines of $RUN/log/box.log:
$(tail -n 5 "$RUN/log/box.log")"
        ((SECONDS < end)) || fail "$what: not so after $limit s; logs are in $RUN/log"
        sleep 0.2
    done
}

node_ready() { [[ $(kubectl get node "$NODE_NAME" -o "jsonpath={.status.conditions[?(@.type=='Ready')].status}") == True ]]; }

install_addons() {
    local file
    for file in "$HERE"/addons/*.yaml; do
        sed -e "s|@DNS_SERVICE_IP@|$DNS_SERVICE_IP|g" -e "s|@NODE_IP@|$NODE_IP|g" -e "s|@METRICS_PORT@|$METRICS_PORT|g" \
            -e "s|@AUTHORITY@|$(base64 -w0 "$RUN/pki/ca.crt")|g" "$file"
        echo ---
    done | kubectl apply --server-side --force-conflicts --field-manager cloudshop-local-cluster -f - >/dev/null
}

((EUID == 0)) || fail "the local cluster needs root (namespaces, mounts, network); run this as root, or use CLUSTER=kind"
lock_cluster

if box_pid >/dev/null && [[ -f $RUN/ready ]] && kubectl get --raw /readyz >/dev/null 2>&1; then
    say "the local cluster is up (KUBECONFIG=$RUN/kubeconfig)"
    exit
fi
began=$SECONDS
"$HERE/prepare.sh"

say "starting the local cluster. It changes on this machine, until make down: network device $DEVICE with $NODE_IP and
    routes to $CLUSTER_RANGE, nftables tables kube-proxy, IP forwarding on, control groups $CGROUP; its state is $RUN"
sweep
make_mount_points
[[ -d $RUN/pki ]] || make_certificates
install -m 0600 "$RUN/pki/admin.kubeconfig" "$RUN/kubeconfig"
write_containerd_configuration
write_network_configuration
write_kubelet_configuration
write_proxy_configuration
make_network
make_control_groups
start_box
wait_for 180 "the API server answers" kubectl get --raw /readyz
wait_for 180 "system priority classes exist" kubectl get priorityclass system-cluster-critical
install_addons
wait_for 180 "node $NODE_NAME is Ready" node_ready
wait_for 180 "cluster DNS is ready" kubectl -n kube-system rollout status deployment/coredns --timeout=180s
# After a restart its pod still counts as ready for a moment.
wait_for 180 "cluster DNS answers" timeout 1 bash -c "</dev/tcp/$DNS_SERVICE_IP/53"
wait_for 180 "metrics are served" kubectl get --raw /apis/metrics.k8s.io/v1beta1
for port in "$AWS_PORT" "$AWS_QUEUE_PORT" "$AZURE_BLOB_PORT" "$AZURE_QUEUE_PORT"; do
    wait_for 60 "the emulator on port $port answers" timeout 1 bash -c "</dev/tcp/$NODE_IP/$port"
done
touch "$RUN/ready"
say "the local cluster is up after $((SECONDS - began)) s (KUBECONFIG=$RUN/kubeconfig)"
