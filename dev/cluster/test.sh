#!/usr/bin/env bash
# Tests the scripts of the local cluster: a second start changes nothing, a killed cluster starts again with its data,
# and its end leaves nothing. It runs in namespaces of its own, beside whatever cluster the machine has.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
export CLOUDSHOP_RUN=$CACHE/cluster-test
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"

if [[ ${1:-} != inside ]]; then
    "$HERE/prepare.sh"
    "$HERE/down.sh" 2>/dev/null
    status=0
    setpriv --pdeathsig KILL unshare --net --mount --propagation slave --pid --fork --kill-child --mount-proc \
        "$HERE/test.sh" inside || status=$?
    "$HERE/down.sh" 2>/dev/null
    exit "$status"
fi
use_tools kubernetes

running() { [[ $(kubectl get pod probe -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; }
restarted() { [[ $(kubectl get pod probe -o 'jsonpath={.status.containerStatuses[0].restartCount}') -ge 1 ]] && running; }
folder_of() {
    printf '%s%s\n' "/proc/$(node_pid)/root" "$(kubectl get persistentvolume -o json |
        jq -er --arg claim "$1" '.items[] | select(.spec.claimRef.name == $claim).spec.hostPath.path')"
}
kill_cluster() {
    local box
    box=$(box_pid)
    kill -KILL "$box"
    wait_until 10 "the killed cluster is gone" test ! -d "/proc/$box"
}

ip link set lo up
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
"$HERE/up.sh"

say "a second start finds the cluster and changes nothing"
box=$(box_pid)
"$HERE/up.sh"
[[ $(box_pid) == "$box" ]] || fail "the second start made another cluster"

say "a pod gets a folder, and a file system as small as it asked for, that the pods' user owns"
kubectl apply --filename - <<'OBJECTS'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: folder}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: small}
spec: {storageClassName: tiny, accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: probe}
spec:
  containers:
  - name: pause
    image: localhost/pause:1
    imagePullPolicy: Never
    volumeMounts: [{name: folder, mountPath: /folder}, {name: small, mountPath: /small}]
  volumes:
  - {name: folder, persistentVolumeClaim: {claimName: folder}}
  - {name: small, persistentVolumeClaim: {claimName: small}}
OBJECTS
wait_until 60 "the pod is ready" running
for claim in folder small; do
    [[ $(stat --format '%u:%g' "$(folder_of $claim)") == 65532:65532 ]] || fail "volume $claim has another owner"
    echo kept >"$(folder_of $claim)/file"
done
! dd if=/dev/zero of="$(folder_of small)/filler" bs=1M count=32 2>/dev/null || fail "32 MiB fit into a volume of 16 MiB"

say "a killed cluster starts again, with its pods and their data"
kill_cluster
"$HERE/up.sh"
wait_until 60 "the pod runs again" restarted
for claim in folder small; do
    [[ $(cat "$(folder_of $claim)/file") == kept ]] || fail "volume $claim lost its data"
done

say "the end of a killed cluster whose folder was deleted leaves nothing"
kill_cluster
rm -rf "$RUN"
"$HERE/down.sh"
[[ ! -e $RUN ]] || fail "$RUN is still there"
[[ $(ip -json link show | jq 'map(select(.ifname != "lo" and (.ifname | startswith("ifb") | not))) | length') == 0 ]] ||
    fail "network devices are left: $(ip -brief link)"
[[ -z $(nft list ruleset) ]] || fail "nftables rules are left"
[[ -z $(find /sys/fs/cgroup -maxdepth 2 -name "$CGROUP") ]] || fail "control groups are left"
! findmnt --list --noheadings --output TARGET | grep -qF "$RUN" || fail "mounts are left"
[[ $(cat /proc/sys/net/ipv4/ip_forward) == "$forwarding" ]] || fail "IP forwarding is not as it was"
say "the local cluster does what it should"
