#!/usr/bin/env bash
# Installs the system packages that the local cluster and the tests need and that are missing; says beforehand which.
# With arguments, PROGRAM=PACKAGE each, it is those that are needed.
set -euo pipefail
# shellcheck source=dev/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# Each program or file that is needed, and the Debian package that brings it.
NEEDED=(
    containerd=containerd ctr=containerd runc=runc /usr/lib/cni/ptp=containernetworking-plugins
    nft=nftables ip=iproute2 conntrack=conntrack buildah=buildah
    mkfs.ext4=e2fsprogs unshare=util-linux setpriv=util-linux mount=mount
    gcc=gcc /usr/include/stdlib.h=libc6-dev make=make openssl=openssl curl=curl jq=jq shellcheck=shellcheck
    strace=strace chromium=chromium npm=npm python3=python3 pip3=python3-pip
)
((!$#)) || NEEDED=("$@")

missing=()
for entry in "${NEEDED[@]}"; do
    [[ -e ${entry%%=*} ]] || command -v "${entry%%=*}" >/dev/null || missing+=("${entry#*=}")
done
command -v go >/dev/null || fail "Go is not installed; version 1.26 or newer builds the cluster's tools: https://go.dev/dl"
command -v cargo >/dev/null || fail "Rust is not installed; version 1.95 or newer builds the project: https://rustup.rs"
((${#missing[@]})) || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

say "these system packages are missing and will be installed with apt-get: ${missing[*]}"
((EUID == 0)) || fail "installing packages needs root; run this as root, or install them yourself"
command -v apt-get >/dev/null || fail "this is no Debian; install the equivalents of: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Whoever calls this may be printing a report.
apt-get update --quiet=2 >&2
apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >&2
