#!/usr/bin/env bash
# Runs an emulator of a cloud in the foreground, with nothing kept on the disk:
#   dev/emulator.sh aws HOST PORT                                    S3, SQS and STS (moto)
#   dev/emulator.sh azure HOST BLOB_PORT QUEUE_PORT [OPTION...]      Blob and Queue Storage (Azurite, with its own options)
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"

case ${1:-} in
aws)
    (($# == 3)) || fail "dev/emulator.sh aws HOST PORT"
    "$HERE/tools.sh" moto
    PYTHONPATH=$(tool_dir moto) exec python3 "$HERE/tools/moto/serve.py" "$2" "$3"
    ;;
azure)
    (($# >= 4)) || fail "dev/emulator.sh azure HOST BLOB_PORT QUEUE_PORT [OPTION...]"
    "$HERE/tools.sh" azurite
    exec "$(tool_dir azurite)/node_modules/.bin/azurite" --silent --inMemoryPersistence --disableTelemetry \
        --blobHost "$2" --blobPort "$3" --queueHost "$2" --queuePort "$4" --tableHost "$2" --tablePort 0 "${@:5}"
    ;;
*) fail "no emulator is called '${1:-}'; write aws or azure" ;;
esac
