#!/usr/bin/env bash
# Runs an emulator of a cloud in the foreground, with nothing kept on the disk:
#   dev/emulator.sh aws HOST PORT [QUEUE_PORT]                       S3, SQS and STS (moto), SQS at a port of its own as well
#   dev/emulator.sh azure HOST BLOB_PORT QUEUE_PORT [OPTION...]      Blob and Queue Storage (Azurite, with its own options)
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

# A cloud's queue has machines of its own; here it shares its cores with everything that it serves, and an answer would wait for
# whichever pod is busy. It does little, so it goes before all of them. (The blobs do much, and would keep the pods from theirs.)
first=(chrt --rr 1)
"${first[@]}" true 2>/dev/null || first=()

case ${1:-} in
aws)
    (($# == 3 || $# == 4)) || fail "dev/emulator.sh aws HOST PORT [QUEUE_PORT]"
    "$HERE/tools.sh" moto
    PYTHONPATH=$(tool_dir moto)
    export PYTHONPATH
    serve=$HERE/tools/moto/serve.py
    # As in the cloud, one service does not wait for the other. The second process ends with the first.
    if [[ -n ${4:-} ]]; then "${first[@]}" setpriv --pdeathsig KILL python3 "$serve" "$2" "$4" & fi
    exec python3 "$serve" "$2" "$3" ${4:+"http://$2:$4"}
    ;;
azure)
    (($# >= 4)) || fail "dev/emulator.sh azure HOST BLOB_PORT QUEUE_PORT [OPTION...]"
    "$HERE/tools.sh" azurite
    bin=$(tool_dir azurite)/node_modules/.bin
    options=(--silent --inMemoryPersistence --disableTelemetry "${@:5}")
    # As in the cloud, one service does not wait for the other. The second process ends with the first.
    emulate=(node --require "$ROOT/dev/tools/azurite/sweeping.cjs")
    "${first[@]}" setpriv --pdeathsig KILL "${emulate[@]}" \
        "$bin/azurite-queue" --queueHost "$2" --queuePort "$4" "${options[@]}" &
    exec "${emulate[@]}" "$bin/azurite-blob" --blobHost "$2" --blobPort "$3" "${options[@]}"
    ;;
*) fail "no emulator is called '${1:-}'; write aws or azure" ;;
esac
