#!/usr/bin/env bash
#SBATCH --job-name=try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --time=0-06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/home/me/milozero/data/swarms/test-ffad79e7/logs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00.log
# try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
# A run of the swarm test-ffad79e7, written by spawner.py. A run that was stopped resumes from its last checkpoint.
# One argument: the submission, 001 if not given, of which each is run once; once more by hand: bash job.sh by_hand_1

submission=${1:-001}
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
state=    # of this job, as Slurm says
next=     # the job that goes on with this one's work
job=${SLURM_JOB_ID:-}
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

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
  # what Slurm starts again has its old number: the lock is its own
  [ -n "$job" ] && grep -qF -- "\"job\": \"$job\"," "$lock"
}

# refuse PROBLEM REMEDY
refuse() {
  printf '%s\n' "$1" "$2" >&2
  return 6
}

# finish VERDICT REASON STATUS
finish() {
  [ -z "$next" ] || scancel "$next"
  note "$1" "$2"
  say "$run: $1 ($2)"
  exit "$3"
}

# The workers finish their iteration and save. The file reaches them where a signal does not.
ask() {
  asked=$1 heard=yes
  # at its time limit the run resumes in another job; before, a user cancels it, or Slurm itself starts it again
  [ "$asked" != TERM ] || [ "$(date +%s)" -lt "${SLURM_JOB_END_TIME:-9999999999}" ] || asked=time
  touch -- "$run_folder/stop"
  [ -z "$program" ] || kill -USR1 "$program" 2>/dev/null
  # cancelled, it is killed after KillWait, with this script, whether it has saved by then or not
  if [ "$asked" = TERM ] && is_preempted && [ "$state" = COMPLETING ]; then submit_next; fi
}

run_program() {
  export PYTHONUNBUFFERED=1
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  export MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
  export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
  export OMPI_MCA_hwloc_base_binding_policy=none
  export PRTE_MCA_hwloc_default_binding_policy=none
  export SLURM_EXPORT_ENV=ALL  # under --export=NONE, a step would lose all that stands here
  # on one node a step inside the step would wait for processors that this job itself has
  [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ] || export HYDRA_LAUNCHER="${HYDRA_LAUNCHER:-fork}"
  export SLURM_JOB_END_TIME
  SLURM_JOB_END_TIME=$(end_of_job)
  local command=(
    /opt/venv/bin/mpiexec -n 2
    /opt/venv/bin/python main.py
    --task=train
    --algo=ppo
    --env_id=CartPole-v1
    --seed=0
    --uuid=try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
    --num_timesteps=1000000
    --init_iter_num=best
    --no-accept_changes
    --runs_dir=data/runs
    --precision=float32
    --progress=auto
    --no-profile
    --num_envs=16
    --frame_stack=1
    --no-greyscale
    --picture_layout=auto
    --env_processes=0
    --eval_frequency=10
    --eval_episodes=10
    --iter_num=best
    --num_trajs=10
    --deterministic
    --no-render
    --no-record
    --no-save_traj
    --save_traj_dir=data/demos
    --no-wandb_download_replace
    --save_frequency=50
    --keep_checkpoints=3
    --sync_frequency=10
    --checkpoint_policy_only
    --migrate_auto
    '--wandb_entity=it'"'"'s $HOME'
    --no-tensorboard
    --no-mlflow
    --write_interval=250
    --publish_frequency=10
    --p_batch_norm
    --v_batch_norm
    --p_perception_stack=mlp_64
    --p_activation=tanh
    --policy_std_init=1.0
    --no-state_dependent_std
    --p_lr=0.001
    --p_ent_reg_scale=0.0
    --clip_ratio=0.2
    --v_perception_stack=mlp_64
    --v_activation=tanh
    --v_lr=0.0003
    --value_clip=0.0
    --baseline_scale=0.5
    --no-shared_value
    --normalize_values
    --gamma=0.99
    --gae_lambda=0.95
    --normalize_advantages
    --recompute_advantages
    --rollout_len=2048
    --batch_size=64
    --optim_epochs_per_iter=10
    --lr_schedule=linear
    --desired_kl=0.01
    --target_kl=0.0
    --clip_norm=0.5
    --compile
    --no-layer_norm
    --init=orthogonal
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

# Slurm before 23.02 does not say it, and what the variable holds may be of the job that submitted this one.
end_of_job() {
  local end
  if end=$(squeue --noheader --jobs="$job" --format=%e 2>/dev/null) && date -d "$end" +%s 2>/dev/null; then return; fi
  echo $(($(date +%s) + 21600))
}

# The same job again, where it may be, else another one that waits for this one to end; once.
submit_next() {
  local count=0
  [ -z "$next" ] || return 0
  if type -P scontrol >/dev/null && scontrol requeue "$job"; then next=$job; return; fi
  case $submission in *+*) count=${submission##*+} ;; esac
  type -P sbatch >/dev/null && next=$(sbatch --parsable --export=ALL --dependency="afterany:$job" --job-name="$run" \
    ${MILOZERO_TOKEN:+--comment="$MILOZERO_TOKEN"} "$run_folder/job.sh" "${submission%%+*}+$((count + 1))")
}

submit_again() {
  note requeue "$1"
  submit_next || finish gave_up no_requeue "$code"
  exit 75
}

# Preemption sends the signal that scancel sends. Slurm notes when it preempts; its word for the job is "completing" as
# long as this script runs. A job that was requeued may still have the time of its former start.
is_preempted() {
  local start when
  read -r state start when < <(squeue --noheader --jobs="$job" --states=all \
    --Format=State:20,StartTime:20,PreemptTime:20 2>/dev/null)
  [ "$state" = PREEMPTED ] || [[ $when == [0-9]* && ! $when < $start ]]
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
  [ "$asked" != TERM ] || [ -n "$next" ] || is_preempted || finish stopped cancelled 75
  [ -z "$asked" ] || why=preempted
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
cd -- /home/me/milozero || exit 6
trap 'ask USR1' USR1
trap 'ask TERM' TERM
trap 'ask INT' INT
trap 'ask HUP' HUP
while :; do
  restart=$(told start | wc -l)
  note start "${job:-$$}"
  say "$run: start $restart of submission $submission on $host"
  if [ -n "$asked" ] || [ -e "$ledger/stop" ]; then code=75; else run_program; fi
  note end "$code $(checkpoint)"
  decide
done
