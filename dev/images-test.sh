#!/usr/bin/env bash
# Tests that the images which were built last can be pushed to an OCI registry, started here on a loopback port.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
"$HERE/tools.sh" registry
use_tools registry

FOLDER=$(mktemp -d)
end() {
    [[ -z ${server:-} ]] || kill "$server"
    rm -rf "$FOLDER"
}
trap end EXIT
cat >"$FOLDER/config.yaml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $FOLDER/data}}
http: {addr: "127.0.0.1:0"}
CONFIG
OTEL_TRACES_EXPORTER=none registry serve "$FOLDER/config.yaml" >"$FOLDER/log" 2>&1 &
server=$!
address() { sed -nE 's/.*listening on (127\.0\.0\.1:[0-9]+).*/\1/p' "$FOLDER/log" | grep -m1 .; }
wait_until 20 "the registry listens" address

made=$(REGISTRY=$(address)/cloudshop "$HERE/images.sh" --load-only)
eval "$made"
for image in shop operator; do
    # The digest that the registry computes is of what it holds, so a listed manifest with all its layers is a whole image.
    manifest=$(curl --silent --show-error --fail --max-time 10 \
        --header 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$(address)/v2/cloudshop/$image/manifests/$TAG")
    for layer in $(jq -r '.config.digest, .layers[].digest' <<<"$manifest"); do
        curl --silent --show-error --fail --max-time 10 --head --output /dev/null \
            "http://$(address)/v2/cloudshop/$image/blobs/$layer"
    done
    say "$REGISTRY/$image:$TAG was pushed and is whole"
done
