# Removes what a cluster that no longer runs, or was killed, left outside its namespaces; sourced, never run.
# shellcheck shell=bash

# Empty folders that a cluster's own ones are mounted on; those that were missing are noted to be removed again.
MADE_FOLDERS=$CACHE/made-folders

make_mount_points() {
    local folder
    for folder in "${FIXED_FOLDERS[@]}"; do
        [[ -d $folder ]] || echo "$folder" >>"$MADE_FOLDERS"
        mkdir -p "$folder"
    done
}

# The last cluster of the machine removes them: to remove one undoes the mounts of any other cluster.
remove_mount_points() {
    [[ -f $MADE_FOLDERS ]] || return 0
    [[ -z $(find /sys/fs/cgroup -maxdepth 2 -name 'cloudshop-*' -print -quit) ]] || return 0
    sort -ru "$MADE_FOLDERS" | while read -r folder; do
        rmdir --ignore-fail-on-non-empty "$folder" 2>/dev/null || true
    done
    rm "$MADE_FOLDERS"
}

# Whether the machine was a router before its pods made it one.
FORWARDING_BEFORE=$CACHE/$CGROUP.ip-forward

# The alias of the device names the run folder of the cluster that it belongs to.
device_owner() { ip -json link show "$DEVICE" 2>/dev/null | jq -r '.[0].ifalias // empty' || true; }

remove_network() {
    # Without the device, it was in a network namespace that is gone with all its settings.
    [[ $(device_owner) == "$RUN" ]] || { rm -f "$FORWARDING_BEFORE" && return; }
    ip link delete "$DEVICE"
    [[ ! -f $FORWARDING_BEFORE ]] || cat "$FORWARDING_BEFORE" >/proc/sys/net/ipv4/ip_forward
    rm -f "$FORWARDING_BEFORE"
    # kube-proxy has these two tables to itself, and there is one kube-proxy where there is the device.
    local family
    for family in ip ip6; do
        nft delete table "$family" kube-proxy 2>/dev/null || true
    done
}

# Ends whatever still runs in the cluster's control groups, which hold nothing but its daemons and pods, then removes the groups.
remove_control_groups() {
    local root pid
    for root in /sys/fs/cgroup/"$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do
        [[ -d $root ]] || continue
        find "$root" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r pid; do
            # A process of another process namespace is shown as 0.
            if ((pid > 1)); then kill -KILL "$pid" 2>/dev/null || true; fi
        done
        # A group can go only when its last process has been reaped.
        wait_until 10 "control group $root is empty" remove_tree "$root"
    done
}
remove_tree() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || [[ ! -d $1 ]]; }

# The box itself takes daemons, pods and mounts with it.
end_box() {
    local pid
    if pid=$(box_pid); then
        kill -KILL "$pid"
        wait_until 20 "the cluster's processes ended" gone "$pid"
    fi
    rm -f "$RUN/box.pid"
}
gone() { [[ ! -d /proc/$1 ]] || [[ $(box_pid) != "$1" ]]; }

sweep() {
    end_box
    remove_control_groups
    remove_network
    remove_mount_points
    rm -f "$RUN"/*.sock "$RUN"/*.sock.* "$RUN/ready"
    rm -rf "$RUN/containerd-state"
}
