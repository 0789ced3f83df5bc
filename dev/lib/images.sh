# Builds and moves container images FROM scratch; sourced after common.sh, never run.
# shellcheck shell=bash

# An image store of our own, so that the user's stays as it is.
buildah() {
    command buildah --root "$CACHE/buildah/store" --runroot "$CACHE/buildah/run" --storage-driver vfs "$@"
}

# The archive of an image that only the local cluster uses: archive_of pause|coredns
archive_of() { printf '%s/image.tar\n' "$(tool_dir "$1")"; }

# Makes an OCI archive with the FILEs in its root: scratch_image REFERENCE ARCHIVE USER ENTRYPOINT FILE...
scratch_image() {
    local reference=$1 archive=$2 user=$3 entrypoint=$4 container
    shift 4
    mkdir -p "$CACHE/buildah" "$(dirname "$archive")"
    (
        flock 9
        container=$(buildah from scratch)
        buildah copy --quiet "$container" "$@" / >/dev/null
        buildah config --user "$user" --entrypoint "[\"$entrypoint\"]" --workingdir / "$container"
        buildah commit --quiet --rm "$container" "$reference" >/dev/null
        rm -f "$archive.partial"
        buildah push --quiet --disable-compression "$reference" "oci-archive:$archive.partial:$reference"
        buildah rmi "$reference" >/dev/null
        mv "$archive.partial" "$archive"
    ) 9>"$CACHE/buildah/.lock"
}

# Pushes an OCI archive to a registry, with the user's own login: push_archive ARCHIVE REFERENCE VERIFY-TLS
push_archive() {
    local archive=$1 reference=$2 verify=$3 id
    (
        flock 9
        id=$(buildah pull --quiet "oci-archive:$archive")
        buildah push --quiet --tls-verify="$verify" "$id" "docker://$reference"
        buildah rmi "$id" >/dev/null
    ) 9>"$CACHE/buildah/.lock"
}
