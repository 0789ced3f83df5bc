# Writes the configuration files of containerd, the pod network, the kubelet and kube-proxy; sourced, never run.
# shellcheck shell=bash

write_containerd_configuration() {
    cat >"$RUN/containerd.toml" <<CONFIG
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"

[grpc]
  address = "$CONTAINERD_SOCKET"

[plugins."io.containerd.internal.v1.opt"]
  path = "$RUN/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Lowering a process's score needs CAP_SYS_RESOURCE, which a machine inside a container or a micro VM may lack.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
CONFIG
}

# Each pod hangs on the node by a cable of its own, so that all its traffic is routed and tracked, also between two pods.
# The only route is to the cluster's own range: nothing inside can reach, or be taken for, a host outside.
write_network_configuration() {
    mkdir -p "$RUN/cni"
    cat >"$RUN/cni/10-cloudshop.conflist" <<CONFIG
{
  "cniVersion": "1.0.0",
  "name": "cloudshop",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "$RUN/cni/addresses",
        "ranges": [[{"subnet": "$POD_RANGE"}]],
        "routes": [{"dst": "$CLUSTER_RANGE"}]
      }
    }
  ]
}
CONFIG
}

write_kubelet_configuration() {
    # Pods that ask for the node's resolver get this one: the machine's own would not answer inside.
    echo "nameserver $DNS_SERVICE_IP" >"$RUN/resolv.conf"
    cat >"$RUN/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
healthzPort: 0
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# A fifth of the usual: a pod with a small part of a core waits for it for milliseconds instead of a tenth of a second.
featureGates: {CustomCPUCFSQuotaPeriod: true}
cpuCFSQuotaPeriod: 20ms
oomScoreAdj: 0
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
podLogsDir: $RUN/log/pods
volumePluginDir: $RUN/kubelet/volume-plugins
containerLogMaxSize: 10Mi
containerLogMaxFiles: 2
clusterDNS: [$DNS_SERVICE_IP]
clusterDomain: cluster.local
resolvConf: $RUN/resolv.conf
tlsCertFile: $RUN/pki/kubelet.crt
tlsPrivateKeyFile: $RUN/pki/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $RUN/pki/ca.crt}
authorization: {mode: Webhook}
# The disk is the machine's: a pod is not to be evicted, nor an image dropped, for what others keep on it.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 24h
CONFIG
}

write_proxy_configuration() {
    cat >"$RUN/proxy.yaml" <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: $NODE_NAME
clusterCIDR: $POD_RANGE
nodePortAddresses: ["$NODE_IP/32"]
healthzBindAddress: $NODE_IP:10256
metricsBindAddress: $NODE_IP:10249
oomScoreAdj: 0
makeIPTablesUtilChains: false
clientConnection: {kubeconfig: $RUN/pki/proxy.kubeconfig}
# Zero leaves the machine's own limits alone.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
CONFIG
}
