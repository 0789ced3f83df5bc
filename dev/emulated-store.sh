#!/usr/bin/env bash
# Makes a store on an emulator, as a platform team makes one in a cloud: dev/emulated-store.sh aws|azure NAME
# It is the bucket or container NAME and the queue NAME; those that are there already stay as they are. The emulator is the
# one at AWS_ENDPOINT_URL, or at AZURE_BLOB_ENDPOINT and AZURE_QUEUE_ENDPOINT; by default the one of the local cluster.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
# shellcheck source=dev/lib/cluster.sh
. "$HERE/lib/cluster.sh"
# shellcheck source=dev/lib/emulators.sh
. "$HERE/lib/emulators.sh"

AWS_URL=${AWS_ENDPOINT_URL:-$AWS_URL}
AZURE_BLOB_URL=${AZURE_BLOB_ENDPOINT:-$AZURE_BLOB_URL}
AZURE_QUEUE_URL=${AZURE_QUEUE_ENDPOINT:-$AZURE_QUEUE_URL}

(($# == 2)) || fail "dev/emulated-store.sh aws|azure NAME"
case $1 in
aws) make_aws_store "$2" ;;
azure) make_azure_store "$2" ;;
*) fail "no emulator is called '$1'; write aws or azure" ;;
esac
