#!/usr/bin/env bash
# Brings everything that a local cluster is started from onto the machine: packages, tools, the images of its own pods.
# All that needs the internet happens here.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/../lib/common.sh"
# shellcheck source=dev/lib/images.sh
. "$HERE/../lib/images.sh"

"$HERE/../prerequisites.sh"
"$HERE/../tools.sh" kubernetes coredns metrics-server pause moto azurite
for name in pause coredns; do
    archive=$(archive_of "$name")
    [[ -f $archive ]] || scratch_image "localhost/$name:1" "$archive" 65532 "/$name" "$(tool_dir "$name")/$name"
done
