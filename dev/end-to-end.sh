#!/usr/bin/env bash
# Runs the end-to-end tests against the cluster that KUBECONFIG names; isolated.sh starts one and then this.
# The tests find in the environment: KUBECONFIG, CLOUDSHOP_NODE_ROOT (the node's file system), REGISTRY and TAG (the
# images), kubectl and helm on PATH, and NODE_PATH (the library that drives Chromium).
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
: "${KUBECONFIG:?names the cluster to test on}"
use_tools kubernetes helm kubeconform
NODE_PATH=$(tool_dir browser)/node_modules
export NODE_PATH

images=$("$HERE/images.sh" --load-only)
eval "$images"
export REGISTRY TAG
cd "$ROOT"
cargo test --workspace --locked --no-fail-fast "$@" -- --ignored
