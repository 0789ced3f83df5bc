# The pinned versions of everything that dev/ builds; sourced, never run.
# shellcheck shell=bash disable=SC2034

# Kubernetes and etcd are pinned, with all they depend on, in dev/tools/kubernetes/go.mod.
KUBERNETES_VERSION=v1.35.4
METRICS_SERVER_VERSION=v0.9.0
COREDNS_VERSION=v1.15.0
HELM_VERSION=v3.22.0
KUBECONFORM_VERSION=v0.8.0
REGISTRY_VERSION=v3.1.2
CARGO_DENY_VERSION=0.20.2
