# What the parts of dev/bench.sh share: cores, programs that end with the part, medians; sourced after common.sh, never run.
# shellcheck shell=bash disable=SC2034

: "${BINARIES:?is set by dev/bench.sh, which builds what is measured}"
ROUNDS=${ROUNDS:-5}
SERVER_CORE=0
CLIENT_CORE=1
# The whole of 127.0.0.0/8 is this machine: addresses that nothing else listens on.
EMULATORS_IP=127.84.0.1
WEB_IP=127.84.0.2
WORKER_IP=127.84.0.3

WORK=$(mktemp -d)
declare -A PROGRAMS=()
trap 'end_all; rm -rf "$WORK"' EXIT

# Starts a program, which ends with this script at the latest: begin NAME CORE COMMAND...
begin() {
    local name=$1 core=$2
    shift 2
    # What it said must not be taken for what an earlier one said.
    : >"$WORK/$name.out"
    taskset -c "$core" "$@" >"$WORK/$name.out" 2>"$WORK/$name.log" &
    PROGRAMS[$name]=$!
}
end() {
    kill "${PROGRAMS[$1]}" 2>/dev/null || true
    wait "${PROGRAMS[$1]}" 2>/dev/null || true
    unset "PROGRAMS[$1]"
}
end_all() {
    local name
    for name in "${!PROGRAMS[@]}"; do
        end "$name"
    done
}

# A server says on its first line of output which address it got: printed_address NAME
printed_address() {
    wait_until 30 "$1 says its address" grep --quiet "http://.*[0-9]" "$WORK/$1.out"
    ADDRESS=$(sed -n 's#.*http://\([0-9.:]*\).*#\1#p' "$WORK/$1.out" | head -n 1)
}
begin_shop() {
    begin shop "$SERVER_CORE" "$BINARIES/shop" run --data "$WORK/data" --listen 127.0.0.1:0
    printed_address shop
    wait_until 30 "the shop is ready" curl --fail --silent "http://$ADDRESS/readyz"
}

# Starts the emulator CLOUD and names it by the variables that programs of the cloud look for: begin_emulator aws|azure
begin_emulator() {
    local NODE_IP=$EMULATORS_IP
    # shellcheck source=dev/lib/emulators.sh
    . "$ROOT/dev/lib/emulators.sh"
    "$ROOT/dev/tools.sh" moto azurite
    case $1 in
    aws)
        begin aws "$SERVER_CORE" "$ROOT/dev/emulator.sh" aws "$NODE_IP" "$AWS_PORT"
        wait_until 60 "the emulator of AWS answers" curl --silent "$AWS_URL"
        export AWS_ENDPOINT_URL=$AWS_URL AWS_REGION=$AWS_REGION_NAME AWS_ACCESS_KEY_ID=$AWS_KEY AWS_SECRET_ACCESS_KEY=$AWS_KEY
        ;;
    azure)
        begin azure "$SERVER_CORE" "$ROOT/dev/emulator.sh" azure "$NODE_IP" "$AZURE_BLOB_PORT" "$AZURE_QUEUE_PORT"
        wait_until 60 "the emulator of Azure answers" curl --silent "$AZURE_BLOB_URL"
        AZURE_STORAGE_SAS_TOKEN=$(azure_signature)
        export AZURE_STORAGE_SAS_TOKEN AZURE_BLOB_ENDPOINT=$AZURE_BLOB_URL AZURE_QUEUE_ENDPOINT=$AZURE_QUEUE_URL \
            AZURE_STORAGE_ACCOUNT=$AZURE_ACCOUNT
        ;;
    esac
}

# CPU time of the program NAME so far, in microseconds: user and system time of all its threads.
cpu_micros() {
    local ticks
    ticks=$(awk '{sub(/^.*\) /, ""); print $12 + $13}' "/proc/${PROGRAMS[$1]}/stat")
    printf '%s\n' $((ticks * 1000000 / $(getconf CLK_TCK)))
}
memory_mib() { awk '/^VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/${PROGRAMS[$1]}/status"; }

CONNECTIONS=32
SECONDS_A_ROUND=${SECONDS_A_ROUND:-8}

# Runs wrk with SCRIPT against the program NAME at ADDRESS, and appends to FILE: requests/s, CPU microseconds a request,
# errors, p50 and p99 in microseconds: round NAME SCRIPT FILE
round() {
    local name=$1 script=$2 file=$3 before after result
    before=$(cpu_micros "$name")
    result=$(QUERIES=$WORK/queries taskset -c "$CLIENT_CORE" wrk -t1 -c"$CONNECTIONS" -d"${SECONDS_A_ROUND}s" \
        -s "$ROOT/dev/bench/$script.lua" "http://$ADDRESS/api/v1/orders" | grep ^RESULT)
    after=$(cpu_micros "$name")
    awk -v cpu=$((after - before)) '{printf "%.0f %.1f %d %d %d\n", $2 * 1000000 / $3, cpu / $2, $4, $5, $6}' <<<"$result" >>"$file"
}
# The median of column COLUMN of FILE.
median() { awk -v column="$2" '{print $column}' "$1" | sort -n | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }
# One row of a table: row NAME FILE
row() { printf '| %s | %s | %s | %s | %s |\n' "$1" "$(median "$2" 1)" "$(median "$2" 2)" "$(median "$2" 3)" "$(median "$2" 5)"; }

# How a report begins, with where and when it was made: title PART TEXT
title() {
    cat <<TEXT
# $2

Made by \`BENCH=$1 make bench\` on $(date -u +%F): $(nproc) cores ($(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)), Linux $(uname -r), commit $(git -C "$ROOT" rev-parse --short HEAD).
Servers run on core $SERVER_CORE, what drives them on core $CLIENT_CORE. On a shared machine trust ratios and CPU times first.
TEXT
}
