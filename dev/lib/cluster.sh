# Names, addresses and paths of one local cluster; sourced after common.sh, never run.
# shellcheck shell=bash disable=SC2034

# Everything a cluster keeps is under its run folder; two clusters differ by nothing else.
RUN=${CLOUDSHOP_RUN:-$ROOT/dev/run}
mkdir -p "$RUN"
RUN=$(cd "$RUN" && pwd)

# RFC 2544 sets 198.18.0.0/15 aside for benchmarks: such packets belong to no network outside this machine.
NODE_NAME=node1
NODE_IP=198.18.0.1
POD_RANGE=198.18.128.0/20
CLUSTER_RANGE=198.18.0.0/15
SERVICE_RANGE=198.19.0.0/16
API_SERVICE_IP=198.19.0.1
DNS_SERVICE_IP=198.19.0.10
API_URL=https://$NODE_IP:6443
METRICS_PORT=4443

# The one network device of the cluster; it holds the node's address.
DEVICE=cloudshop0
CGROUP=cloudshop-$(sha256sum <<<"$RUN" | cut -c1-8)
CONTAINERD_SOCKET=$RUN/containerd.sock
CLUSTER_TOOLS=(kubernetes coredns metrics-server pause)

# Folders that containerd and the kubelet use whatever they are told; inside the cluster's mount namespace they are the run folder's.
FIXED_FOLDERS=(/run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers)

kubectl() { command kubectl --kubeconfig "$RUN/kubeconfig" "$@"; }
containerd_client() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }

# When process $1 started, in ticks since boot: with the number it names one process for good, as numbers are used again.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The second field is a name in parentheses that may hold spaces; the start is field 22.
    cut -d' ' -f20 <<<"${stat##*) }"
}

# The process that holds the cluster (see box.sh), when it lives.
box_pid() {
    local pid started
    read -r pid started 2>/dev/null <"$RUN/box.pid" || return 1
    [[ $(start_time "$pid") == "$started" ]] || return 1
    printf '%s\n' "$pid"
}

# The first process inside, by its number outside; /proc/ITS-NUMBER/root is the file system as the node sees it.
node_pid() {
    local box children
    box=$(box_pid) || return 1
    children=$(cat "/proc/$box/task/$box/children")
    [[ -n $children ]] && printf '%s\n' "${children%% *}"
}

# One start or stop of this cluster at a time. The lock is outside of the run folder, which goes with the cluster.
lock_cluster() {
    mkdir -p "$CACHE"
    exec {CLUSTER_LOCK}>"$CACHE/$CGROUP.lock"
    flock --timeout 600 "$CLUSTER_LOCK" || fail "another start or stop of the cluster in $RUN still runs after 10 minutes"
}
