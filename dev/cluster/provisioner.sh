#!/usr/bin/env bash
# Gives each volume claim of the classes `standard` and `tiny` a volume: a folder, or a small file system that can be filled up.
# Runs inside the cluster's box. A folder outlives its claim (reclaim policy Retain) and goes with the cluster.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/../lib/cluster.sh"
kubectl() { command kubectl --kubeconfig "$RUN/pki/provisioner.kubeconfig" "$@"; }

# The volumes of a host folder ignore fsGroup, so the folder belongs to the user that the pods run as.
POD_USER=65532

mount_file_system() {
    local folder=$1 bytes=${2:-}
    if [[ ! -f $folder.ext4 ]]; then
        truncate --size "$bytes" "$folder.ext4.partial"
        mkfs.ext4 -q -m 0 "$folder.ext4.partial"
        mv "$folder.ext4.partial" "$folder.ext4"
    fi
    # A loop device that `mount` makes goes by itself when the mount does.
    mountpoint --quiet "$folder" || mount -o loop "$folder.ext4" "$folder"
    # A new volume is empty, also to a program that looks closely.
    rm -rf "$folder/lost+found"
}

provision() {
    local namespace=$1 name=$2 uid=$3 class=$4 size=$5 mode=$6 bytes
    local folder=$RUN/volumes/$namespace-$name-$uid
    mkdir -p "$folder"
    if [[ $class == tiny ]]; then
        bytes=$(numfmt --from=auto "$size") && mount_file_system "$folder" "$bytes" || return
    fi
    chown "$POD_USER:$POD_USER" "$folder"
    chmod 0750 "$folder"
    kubectl apply --server-side --field-manager volume-provisioner -f - <<VOLUME
apiVersion: v1
kind: PersistentVolume
metadata: {name: pvc-$uid}
spec:
  storageClassName: $class
  persistentVolumeReclaimPolicy: Retain
  capacity: {storage: "$size"}
  accessModes: $mode
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: $namespace, name: $name, uid: $uid}
  hostPath: {path: $folder, type: Directory}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$NODE_NAME]}]
VOLUME
}

# After a restart of the cluster the small file systems are there, but not mounted.
for image in "$RUN"/volumes/*.ext4; do
    [[ -f $image ]] && mount_file_system "${image%.ext4}"
done

# One line for each claim that waits for a volume, now and whenever one appears. A watch ends now and then by design.
while true; do
    kubectl get persistentvolumeclaims --all-namespaces --watch --output json |
        jq --unbuffered --raw-output '
            select(.status.phase == "Pending" and .metadata.deletionTimestamp == null
                   and (.spec.storageClassName == "standard" or .spec.storageClassName == "tiny"))
            | [.metadata.namespace, .metadata.name, .metadata.uid, .spec.storageClassName,
               .spec.resources.requests.storage, (.spec.accessModes | tojson)] | @tsv' |
        while IFS=$'\t' read -r namespace name uid class size mode; do
            provision "$namespace" "$name" "$uid" "$class" "$size" "$mode" ||
                say "no volume for claim $namespace/$name: see the lines above"
        done || true
    sleep 1
done
