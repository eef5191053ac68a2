#!/usr/bin/env bash
# Sets up a Slurm cluster of one node from the system's packages (Debian: slurm-wlm, munge) in a temporary folder, runs sweeps on it
# that it disturbs, holds them to the same sweep run alone, and stops it. Nothing of the system's own Slurm is touched.
#
#   scripts/slurm-test.sh [--frostline PROGRAM] [--keep] [TEST ...]
#
# TEST is one of array, preempted, time-limit, killed-daemon, dead-node, killed, cancelled (all of them where none is named). Exit code 77
# says that Slurm is not installed and nothing was tested.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
frostline=${FROSTLINE:-${CARGO_TARGET_DIR:-$root/target}/debug/frostline}
keep="" tests=()
while [ $# -gt 0 ]; do
    case $1 in
    --frostline) frostline=$2 && shift ;;
    --keep) keep=yes ;;
    -*) echo "slurm-test: unknown flag $1" >&2 && exit 2 ;;
    *) tests+=("$1") ;;
    esac
    shift
done
[ ${#tests[@]} -gt 0 ] || tests=(array preempted time-limit killed-daemon dead-node killed cancelled)

for program in munged slurmctld slurmd sbatch squeue; do
    if ! PATH=$PATH:/usr/sbin command -v "$program" >/dev/null; then
        echo "skipped: $program is not installed (Debian: apt-get install slurm-wlm munge)"
        exit 77
    fi
done
[ -x "$frostline" ] || { echo "slurm-test: $frostline is missing: cargo build" >&2 && exit 2; }
PATH=$PATH:/usr/sbin
frostline=$(realpath "$frostline")

work=$(mktemp -d)
cluster=$work/cluster
mkdir -p "$cluster"/{state,spool,log}
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() {
    say "FAILED: $*"
    squeue || true
    exit 1
}

# --- the cluster -------------------------------------------------------------------------------------------------------------------

node=$(hostname -s)
port=$((20000 + RANDOM % 20000))
cat >"$cluster/slurm.conf" <<CONF
ClusterName=frostline
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
# A job that is queued again waits until its credential is worth nothing any more: two minutes, where nothing is said.
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmctldLogFile=$cluster/log/slurmctld.log
SlurmdLogFile=$cluster/log/slurmd.log
# Neither wants control groups, which containers often do not let one write to.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
SlurmdTimeout=10
KillWait=10
MinJobAge=3600
MaxArraySize=4
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) * 9 / 10240)) State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 PriorityTier=1 GraceTime=0 State=UP
PartitionName=high Nodes=ALL MaxTime=INFINITE DefaultTime=10 PriorityTier=10 PreemptMode=OFF State=UP
CONF
export SLURM_CONF=$cluster/slurm.conf

pid_of() { cat "$cluster/$1.pid" 2>/dev/null || true; }
start_node() { slurmd -f "$SLURM_CONF" -N "$node"; }
# Every process that descends from one, the youngest last.
family() { for child in $(pgrep -P "$1"); do echo "$child" && family "$child"; done; }
stop() {
    code=$?
    trap - EXIT INT TERM
    scancel --user="$(id -un)" 2>/dev/null || true
    sleep 1
    for one in slurmd slurmctld munged; do
        pid=$(pid_of "$one")
        if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
    done
    sleep 1
    if [ -n "$keep" ] || [ "$code" -ne 0 ]; then say "kept: $work"; else rm -rf "$work"; fi
    exit "$code"
}
trap stop EXIT INT TERM

dd if=/dev/urandom of="$cluster/munge.key" bs=1024 count=1 status=none
chmod 400 "$cluster/munge.key"
munged --force --key-file="$cluster/munge.key" --socket="$cluster/munge.socket" --pid-file="$cluster/munged.pid" \
    --log-file="$cluster/log/munged.log" --seed-file="$cluster/munge.seed"
slurmctld -f "$SLURM_CONF"
start_node
for _ in $(seq 60); do
    if sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then break; fi
    sleep 0.5
done
sinfo --noheader --format=%T | grep -q idle || fail "the cluster does not come up; see $cluster/log"
say "$(sinfo --version), node $node, $(nproc) processors; $("$frostline" --version)"

# --- sweeps ------------------------------------------------------------------------------------------------------------------------

export HF_HOME=$work/hf HF_ENDPOINT=http://127.0.0.1:9 NO_COLOR=1
cd "$work"
# Eight trials in six cohorts, with a pretraining before half of them.
cat >short.toml <<'TOML'
question = "Is it the same on a cluster?"
[data]
source = "digits"
resolution = 16
per-class = 20
validation = 0.25
classes = ["0", "1", "2", "3", "4"]
[train]
epochs = 2
batch = 16
[grid]
model = ["resnet18"]
weights = ["none", "pretrain:others"]
strategy = ["head", "last-1", "full", "l2-sp:0.1"]
seed = [0]
[pretrain.others]
method = "supervised"
classes = ["5", "6", "7"]
per-class = 20
epochs = 2
TOML
# Two trainings of some time on one processor, and something to disturb.
cat >long.toml <<'TOML'
question = "Is it the same where it is disturbed?"
[data]
source = "digits"
resolution = 32
validation = 0.1
augment = ["crop:2"]
[train]
epochs = 4
batch = 32
[grid]
model = ["resnet18"]
strategy = ["full"]
seed = [0, 1]
TOML

numbers() { # of a results folder: every trial's losses, accuracies, chosen epoch and predictions
    for trial in "$1"/trials/*/; do
        echo "$(basename "$trial") $(sha256sum <"$trial/predictions.parquet")"
        grep -hE '"(test|validation|train)-(accuracy|loss)"|"chosen-epoch"' "$trial/outcome.json" "$trial/epochs.json"
    done
}
same() { # whether a folder holds what the sweep alone came to
    numbers "$1" >"$1.numbers"
    diff "$2.numbers" "$1.numbers" >"$1.diff" || fail "$1 is not what the sweep alone came to: $1.diff"
    [ -s "$1/report.md" ] || fail "$1 has no report"
    say "$1: losses, accuracies and predictions of $(find "$1"/trials -maxdepth 1 -mindepth 1 -not -name '.*' | wc -l) trials are those of the sweep alone; report.md is there"
}
alone() {
    [ -s "$1.numbers" ] && return
    /usr/bin/env time -f "%e s" "$frostline" sweep "${1%-alone}.toml" --results "$1" --quiet 2>&1 | tail -n 1 || true
    numbers "$1" >"$1.numbers"
    say "$1: run without Slurm"
}
submit() { # FILE FOLDER FLAGS...
    "$frostline" sweep "$1" --results "$2" --slurm --mem 1GiB --cpus-per-task 1 --save-every 2s "${@:3}" | sed 's/^/          /'
}
told() { "$frostline" status "$1" --json; }
done_with() { # waits until no job of the folder waits or runs
    for _ in $(seq 600); do
        if ! "$frostline" status "$1" | grep -E '^Slurm job' | grep -qE 'waiting|running'; then return; fi
        sleep 1
    done
    fail "$1 has not ended in ten minutes"
}
underway() { # waits until so many trials of the folder run and have kept where they stand
    for _ in $(seq 240); do
        if [ "$(find "$1/underway" -name place.json 2>/dev/null | cut -d/ -f3 | sort -u | wc -l)" -ge "$2" ]; then return; fi
        sleep 0.5
    done
    fail "$1: no $2 trainings were under way in two minutes"
}
went_on() { # whether some training of the folder went on inside itself
    grep -h 'goes on' "$1"/slurm/*.log | head -n 2 | sed 's/^/          /'
    grep -qh 'goes on' "$1"/slurm/*.log || fail "$1: no training went on from where it stood"
}

test_array() {
    alone short-alone
    # All that sbatch, the shell or a pattern of log files could take for something else.
    array='an "array" of #1, 100%, it'"'"'s $HOME'
    submit short.toml "$array"
    done_with "$array"
    "$frostline" status "$array" | sed 's/^/          /'
    [ "$(find "$array/slurm" -name 'trials-*.sh' | wc -l)" -ge 2 ] || fail "MaxArraySize=4 did not cut the array"
    ls "$array"/slurm/*.log >/dev/null || fail "the logs are not in the results folder"
    same "$array" short-alone
}
test_preempted() {
    alone long-alone
    submit long.toml preempted
    underway preempted 2
    job=$(sbatch --parsable --partition=high --cpus-per-task="$(nproc)" --output=/dev/null --wrap 'sleep 3')
    say "job $job takes the whole node, by its priority"
    sleep 4
    squeue --array --format='          %i %P %T %r' | tail -n +2
    done_with preempted
    went_on preempted
    same preempted long-alone
}
test_time-limit() {
    alone long-alone
    submit long.toml time-limit --time 1:00
    done_with time-limit
    grep -h 'queued again' time-limit/slurm/*.log | sort | uniq -c | sed 's/^/          /'
    grep -qh 'queued again' time-limit/slurm/*.log || fail "no job came to its time limit"
    went_on time-limit
    same time-limit long-alone
}
test_killed-daemon() {
    alone long-alone
    submit long.toml killed-daemon
    underway killed-daemon 1
    kill -9 "$(pid_of slurmd)"
    say "slurmd was killed with SIGKILL; its jobs go on without it"
    sleep 5
    start_node
    done_with killed-daemon
    same killed-daemon long-alone
}
test_dead-node() {
    alone long-alone
    submit long.toml dead-node
    underway dead-node 1
    steps=$(pgrep -f "slurmstepd: \[[0-9]*.batch\]" | while read -r step; do echo "$step" && family "$step"; done)
    # shellcheck disable=SC2086 # one word a process
    kill -9 "$(pid_of slurmd)" $steps
    say "everything of the node was killed with SIGKILL: slurmd and $(wc -w <<<"$steps") processes of its jobs"
    for _ in $(seq 120); do
        if sinfo --noheader --format=%T | grep -q down; then break; fi
        sleep 1
    done
    sinfo --noheader --format=%T | grep -q down || fail "slurmctld has not noticed"
    "$frostline" status dead-node | sed 's/^/          /'
    start_node
    done_with dead-node
    went_on dead-node
    same dead-node long-alone
}
test_killed() {
    alone long-alone
    submit long.toml killed
    underway killed 1
    pid=$(told killed | tr -d ' ",' | awk -F: '$1 == "pid" {print $2; exit}')
    kill -9 "$pid"
    say "process $pid was killed with SIGKILL, as for want of memory"
    done_with killed
    "$frostline" status killed | sed 's/^/          /'
    "$frostline" status killed | grep -q 'ran out of its memory of 1.00 GiB: submit it again with --mem 2GiB' ||
        fail "status does not say what to ask for"
    submit long.toml killed
    done_with killed
    same killed long-alone
}
test_cancelled() {
    alone long-alone
    submit long.toml cancelled
    underway cancelled 1
    if "$frostline" sweep long.toml --results cancelled --slurm 2>cancelled.refusal; then fail "it was submitted twice"; fi
    grep -q 'are not done' cancelled.refusal || fail "a second submission is refused for another reason"
    "$frostline" cancel cancelled | sed 's/^/          /'
    done_with cancelled
    sleep 8
    [ -z "$(squeue --noheader)" ] || fail "what was cancelled was queued again"
    "$frostline" status cancelled | sed 's/^/          /'
    submit long.toml cancelled
    done_with cancelled
    went_on cancelled
    same cancelled long-alone
}

for test in "${tests[@]}"; do
    if ! declare -F "test_$test" >/dev/null; then echo "slurm-test: no test is called $test" >&2 && exit 2; fi
done
for test in "${tests[@]}"; do
    say "== $test"
    "test_$test"
done
say "all as it should be, after $SECONDS s"
