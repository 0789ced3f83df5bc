# The cluster that CLUSTER and CONTEXT name, as one kubeconfig for kubectl and helm; sourced after common.sh, never run.
# shellcheck shell=bash disable=SC2034

CLUSTER=${CLUSTER:-local}
KIND_NAME=${CONTEXT:-cloudshop}
RUN_FOLDER=${CLOUDSHOP_RUN:-$ROOT/dev/run}

check_target() {
    case ${PROVIDER:-embedded} in
    embedded) ;;
    aws | azure)
        [[ $CLUSTER == local ]] ||
            fail "PROVIDER=$PROVIDER is an emulator beside the local cluster; for CLUSTER=$CLUSTER write a Shop of your own (docs/clouds)"
        ;;
    *) fail "PROVIDER=$PROVIDER is unknown; it is embedded, aws or azure" ;;
    esac
    case $CLUSTER in
    local) ;;
    kind)
        command -v kind >/dev/null || fail "CLUSTER=kind needs kind (and Docker or Podman) on PATH: https://kind.sigs.k8s.io"
        ;;
    context)
        [[ -n ${CONTEXT:-} ]] || fail "CLUSTER=context needs CONTEXT=NAME, a context of your kubeconfig"
        ;;
    *) fail "CLUSTER=$CLUSTER is unknown; it is local, kind or context" ;;
    esac
}

# kubectl or helm: what is on PATH will do for a cluster of the user's, the local one is spoken to by its own.
use_client() {
    local program=$1 tool=$1
    [[ $program != kubectl ]] || tool=kubernetes
    if [[ $CLUSTER == local ]] || ! command -v "$program" >/dev/null; then
        "$ROOT/dev/tools.sh" "$tool"
        use_tools "$tool"
    fi
}

# Sets KUBECONFIG to a file that knows this one cluster and nothing else.
use_target() {
    use_client kubectl
    case $CLUSTER in
    local) export KUBECONFIG=$RUN_FOLDER/kubeconfig ;;
    kind) export KUBECONFIG=$RUN_FOLDER/kind.kubeconfig ;;
    context)
        local file=$RUN_FOLDER/context.kubeconfig
        mkdir -p "$RUN_FOLDER"
        (umask 077 && kubectl config view --raw --flatten --minify --context "$CONTEXT" >"$file.partial") ||
            fail "your kubeconfig has no context $CONTEXT; kubectl config get-contexts lists them"
        mv "$file.partial" "$file"
        export KUBECONFIG=$file
        ;;
    esac
}
