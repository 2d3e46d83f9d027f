#!/usr/bin/env bash
#PBS -N try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
#PBS -S /bin/bash
#PBS -l select=1:ncpus=2:mpiprocs=2:ompthreads=1:mem=8gb:cpu_type=rome
#PBS -l walltime=25:01:01
#PBS -q short
#PBS -r y
#PBS -j oe
#PBS -o /dev/null
#PBS -A lab
#PBS -W "umask=0 2"
# try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
# A run of the swarm test-ffad79e7, written by spawner.py. A run that was stopped resumes from its last checkpoint.
# One argument: the submission, 001 if not given, of which each is run once; once more by hand: bash job.sh by_hand_1

submission=${1:-${MILOZERO_SUBMISSION:-001}}
run=try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
run_folder=/home/me/milozero/data/runs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
ledger=/home/me/milozero/data/swarms/test-ffad79e7/ledger/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
attempts=$ledger/$submission.attempts
max_restarts=50
launch_seconds=600
stop_seconds=20  # for a launch that is asked to stop
host=$(uname -n)  # HOSTNAME may be another machine's, handed down
asked=    # the signal that asked this script to end the run
program=  # the process id of what is running
guard=    # the process that watches the time limit
is_prepared=
job=${PBS_JOBID:-}
exec >>/home/me/milozero/data/swarms/test-ffad79e7/logs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00.log 2>&1  # PBS would bring its own file when the job has ended

say() { printf '%s  %s\n' "$(date '+%F %T')" "$*"; }

# note WHAT WORD: a line of the ledger, with the number of this start and the time
note() { printf '%s\n' "$1 $restart $(date +%s) $2" >>"$attempts"; }

# told WHAT: all such lines of this submission, and of those that this script made of it
told() {
  cat -- "$ledger/${submission%%+*}.attempts" "$ledger/${submission%%+*}+"*.attempts 2>/dev/null |
    grep "^$1 " | sort -s -n -k 3,3
}

checkpoint() {
  local latest
  latest=$(readlink -- "$run_folder/checkpoints/latest") && printf '%s' "${latest##*/}" || printf none
}

# Only one process may run a submission: a link is made by one of many, on network file systems too, and a symbolic one
# where there are no others.
lock() {
  local me=null boot=null status mine=$ledger/.$submission.$host.$$ lock=$ledger/$submission.start
  mkdir -p -- "$ledger" "$run_folder" || exit 5
  [ -z "$job" ] || me="\"$job\""
  read -r boot </proc/sys/kernel/random/boot_id && boot="\"$boot\""
  read -r status <"/proc/$$/stat"
  set -- ${status##*) }
  printf '{"job": %s, "host": "%s", "pid": %d, "ticks": %s, "boot": %s}\n' \
    "$me" "$host" "$$" "${20:-null}" "$boot" >"$mine" || exit 5
  if ln -- "$mine" "$lock" 2>/dev/null || [ "$mine" -ef "$lock" ]; then
    rm -f -- "$mine"
    return 0
  fi
  if [ ! -e "$lock" ] && ln -s -- "${mine##*/}" "$lock" 2>/dev/null; then return 0; fi
  rm -f -- "$mine"
  # what PBS starts again has its old number: the lock is its own
  [ -n "$job" ] && grep -qF -- "\"job\": \"$job\"," "$lock"
}

# refuse PROBLEM REMEDY
refuse() {
  printf '%s\n' "$1" "$2" >&2
  return 6
}

# finish VERDICT REASON STATUS
finish() {
  note "$1" "$2"
  say "$run: $1 ($2)"
  exit "$3"
}

# The workers finish their iteration and save. The file reaches them where a signal does not.
ask() {
  asked=$1 heard=yes
  # killed at its time limit, the run resumes in another job; before, a user deletes it, or PBS itself starts it again
  [ "$asked" != TERM ] || [ "$(date +%s)" -lt "${MILOZERO_JOB_END:-9999999999}" ] || asked=time
  touch -- "$run_folder/stop"
  [ -z "$program" ] || kill -USR1 "$program" 2>/dev/null
}

prepare() {
  type module >/dev/null 2>&1 || . /etc/profile
  module load GCC/13.3.0 || refuse 'The module GCC/13.3.0 cannot be loaded.' 'Mend `modules` in the calibers file; module avail lists all.' || return
  module load OpenMPI/5.0.3 || refuse 'The module OpenMPI/5.0.3 cannot be loaded.' 'Mend `modules` in the calibers file; module avail lists all.' || return
}

run_program() {
  [ -n "$is_prepared" ] || { prepare && is_prepared=yes; } || { code=6; return; }
  export PYTHONUNBUFFERED=1
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  export MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
  export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
  export OMPI_MCA_hwloc_base_binding_policy=none
  export PRTE_MCA_hwloc_default_binding_policy=none
  export HYDRA_LAUNCHER="${HYDRA_LAUNCHER:-fork}"  # the workers are on this node, whatever the node file says
  local command=(
    /opt/venv/bin/mpiexec -n 2
    /opt/venv/bin/python main.py
    --algo=ppo
    --env_id=CartPole-v1
    --uuid=try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
    '--wandb_entity=it'"'"'s $HOME'
    --p_lr=0.001
  )
  # main.py makes this file when its workers have found each other
  export MILOZERO_LAUNCHED=data/runs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00/job_launched
  local began=$SECONDS
  rm -f -- "$run_folder/job_launched"
  # ignored until the program has handlers of its own
  (trap '' HUP USR1; exec "${command[@]}") </dev/null &
  program=$!
  watch_launch "$program" &
  local watcher=$!
  [ -z "$asked" ] || kill -USR1 "$program" 2>/dev/null
  code=127
  while :; do
    heard=
    wait "$program"
    status=$?
    [ "$status" -eq 127 ] || code=$status  # 127: it has been told already
    [ -n "$heard" ] || break  # else it may have been the signal's
  done
  program=
  kill "$watcher" 2>/dev/null
  wait "$watcher" 2>/dev/null
  if [ "$code" != 0 ] && [ ! -e "$run_folder/job_launched" ]; then
    if [ -e "$run_folder/stop" ]; then
      [ $((SECONDS - began)) -lt "$stop_seconds" ] || code=75
    elif [ $((SECONDS - began)) -ge "$launch_seconds" ]; then
      refuse "The workers did not start within $launch_seconds seconds." 'Look at what the launcher says above; --launcher chooses another.'
      code=6
    fi
  fi
  rm -f -- "$run_folder/job_launched"
}

# End a launch that does not come to its first line: at once if asked to stop, else after a while.
watch_launch() {
  trap - HUP INT TERM USR1
  local since=$SECONDS limit child
  while [ ! -e "$run_folder/job_launched" ]; do
    limit=$launch_seconds
    [ ! -e "$run_folder/stop" ] || limit=$stop_seconds
    kill -0 "$1" 2>/dev/null || return
    if [ $((SECONDS - since)) -ge "$limit" ]; then
      for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do kill -KILL "$child"; done
      kill -KILL "$1"
      return
    fi
    sleep 1
  done
}

# Seconds since 1970: by PBS's word, which an administrator may have changed, else by what the script asks for.
end_of_job() {
  local said limit began
  said=$(qstat -f "$job" 2>/dev/null)
  began=$(sed -n 's/^ *stime = //p' <<<"$said")
  began=$(date -d "${began:-now}" +%s 2>/dev/null) || began=$(date +%s)
  limit=$(sed -n 's/^ *Resource_List\.walltime = //p' <<<"$said")
  if [[ $limit =~ ^([0-9]+):([0-9]+):([0-9]+)$ ]]; then
    limit=$((10#${BASH_REMATCH[1]} * 3600 + 10#${BASH_REMATCH[2]} * 60 + 10#${BASH_REMATCH[3]}))
  else
    limit=90061
  fi
  [ -z "$limit" ] || echo $((began + limit))
}

# PBS sends nothing before the limit, and at the limit TERM and, seconds later, KILL.
watch_time() {
  trap - HUP INT TERM USR1
  while [ "$(date +%s)" -lt $((MILOZERO_JOB_END - 300)) ]; do
    kill -0 "$$" 2>/dev/null || return
    sleep 15
  done
  kill -USR1 "$$"
}

# Only an operator may requeue a job: another one resumes the run.
submit_again() {
  local count=0 next
  note requeue "$1"
  case $submission in *+*) count=${submission##*+} ;; esac
  next=MILOZERO_TOKEN=${MILOZERO_TOKEN:-},MILOZERO_RUN=0,MILOZERO_SUBMISSION=${submission%%+*}+$((count + 1))
  # the time may be over in this moment
  type -P qsub >/dev/null && next=$(trap '' TERM; exec qsub -v "$next" "$run_folder/job.sh") || finish gave_up no_requeue "$code"
  say "$run: resumes in job $next ($1)"
  exit 75
}

# Whether, and how, to go on; does not return where not.
decide() {
  local why is_asked_by_user=
  [ ! -e "$ledger/stop" ] || is_asked_by_user=yes
  case $code in
    0)
      rm -f -- "$run_folder/stop"  # asked for too late
      finish 'done' finished 0
      ;;
    75) why=time ;;
    # a worker or its node was killed; mpiexec says the bare signal, shells add 128
    7|9|1[0125]|129|1[3-9][0-9]|2[0-4][0-9]|25[0-5]) why=killed ;;
    *) finish gave_up "code_$code" "$code" ;;
  esac
  [ -z "$is_asked_by_user" ] || finish stopped user 75
  [ "$asked" != TERM ] || finish stopped cancelled 75
  [ -z "$asked" ] || why=time
  [ "$restart" -lt "$max_restarts" ] || finish gave_up max_restarts "$code"
  # the checkpoint is still the one from before the last two restarts
  local ends
  mapfile -t ends < <(told end | tail -n 3 | cut -d ' ' -f 5)
  if [ "${#ends[@]}" = 3 ] && [ "${ends[0]}" = "${ends[1]}" ] && [ "${ends[1]}" = "${ends[2]}" ]; then
    finish gave_up no_progress "$code"
  fi
  [ -z "$asked" ] || rm -f -- "$run_folder/stop"  # it was for this start only
  submit_again "$why"
}

lock || { say "$run: another job runs submission $submission"; exit 0; }
# PBS counts the processors of the job as threads of each worker
unset OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS
[ ! -r /home/me/milozero/data/swarms/test-ffad79e7/pbs.env ] || . /home/me/milozero/data/swarms/test-ffad79e7/pbs.env
[ -e "$ledger/stop" ] || rm -f -- "$run_folder/stop"  # of a start that PBS has ended, and begun anew
cd -- /home/me/milozero || exit 6
trap 'ask USR1' USR1
trap 'ask TERM' TERM
trap 'ask INT' INT
trap 'ask HUP' HUP
export MILOZERO_JOB_END
MILOZERO_JOB_END=$(end_of_job)
if [ -n "$MILOZERO_JOB_END" ]; then
  watch_time &
  guard=$!
  trap 'kill "$guard" 2>/dev/null' EXIT
fi
while :; do
  restart=$(told start | wc -l)
  note start "${job:-$$}"
  say "$run: start $restart of submission $submission on $host"
  if [ -n "$asked" ] || [ -e "$ledger/stop" ]; then code=75; else run_program; fi
  note end "$code $(checkpoint)"
  decide
done
