#!/usr/bin/env bash
# Checks formatting, lints, shell scripts, and what the dependencies are allowed to be.
set -euo pipefail
HERE=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=dev/lib/common.sh
. "$HERE/lib/common.sh"
cd "$ROOT"

say "cargo fmt"
cargo fmt --all --check
say "cargo clippy"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
say "shellcheck"
command -v shellcheck >/dev/null || dev/prerequisites.sh
shellcheck --external-sources .ci/run dev/*.sh dev/*/*.sh
say "cargo deny"
dev/tools.sh cargo-deny
use_tools cargo-deny
cargo deny --log-level error check bans licenses sources
