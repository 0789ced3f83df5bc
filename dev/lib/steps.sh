# Runs named steps one after the other and counts what passed; sourced after common.sh, never run.
# LOGS is the folder that keeps the output of each.
# shellcheck shell=bash

PASSED=0
FAILED=0
RAN=()

# Runs a command, its output shown and kept in a file: run_logged NAME COMMAND...
run_logged() {
    local name=$1
    shift
    LOG=$LOGS/${name// /-}.log
    say "$name"
    "$@" 2>&1 | tee "$LOG"
}

# One check that passes or fails as a whole, and says so in OUTCOME: step NAME COMMAND...
step() {
    local began=$SECONDS
    if run_logged "$@"; then
        OUTCOME=passed
        PASSED=$((PASSED + 1))
    else
        OUTCOME=FAILED
        FAILED=$((FAILED + 1))
    fi
    RAN+=("$1: $OUTCOME after $((SECONDS - began)) s (output in $LOG)")
}

# A command that runs Rust tests, each of which counts: step_of_tests NAME COMMAND...
step_of_tests() {
    local began=$SECONDS ended=finished passed failed
    run_logged "$@" || ended=FAILED
    passed=$(count_in_log passed)
    failed=$(count_in_log failed)
    # A run that fails without a failed test did not get to its tests; one that passes none did not run any.
    [[ ($ended == finished && $passed -gt 0) || $failed -gt 0 ]] || failed=1
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    RAN+=("$1: $passed passed, $failed failed, $ended after $((SECONDS - began)) s (output in $LOG)")
}

# Adds up the result lines of all test programs: count_in_log passed|failed
count_in_log() {
    awk -v what="$1" '/^test result: / {for (i = 2; i <= NF; i++) if ($i ~ "^" what) sum += $(i - 1)} END {print sum + 0}' "$LOG"
}

summary() {
    printf '\nThis ran:\n'
    printf '  %s\n' "${RAN[@]}"
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    ((FAILED == 0))
}
