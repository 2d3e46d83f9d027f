#!/usr/bin/env bash
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
  return 1
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
  touch -- "$run_folder/stop"
  [ -z "$program" ] || kill -USR1 "$program" 2>/dev/null
}

run_program() {
  export PYTHONUNBUFFERED=1
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  export MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
  export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
  export OMPI_MCA_hwloc_base_binding_policy=none
  export PRTE_MCA_hwloc_default_binding_policy=none
  export PYTHONNOUSERSITE=1
  # of the Python, the conda and the libraries outside, which the image does not have
  unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV LD_PRELOAD "${!CONDA_@}"
  # Started inside a job of Slurm, mpiexec would ask srun for the workers, and wait for ever.
  local end_time=${SLURM_JOB_END_TIME:-} shadow=("${!SLURM_@}" "${!PMI_@}" "${!PMIX_@}")
  [ "${#shadow[@]}" = 0 ] || unset "${shadow[@]}"
  [ -z "$end_time" ] || export SLURM_JOB_END_TIME=$end_time
  export HYDRA_LAUNCHER="${HYDRA_LAUNCHER:-fork}"
  local engine
  engine=$(type -P apptainer || type -P singularity) ||
    { refuse 'Neither apptainer nor singularity is here.' 'Load its module: `modules` in the calibers file.'; code=6; return; }
  local command=(
    "$engine" exec --nv
    --bind /home/me/milozero --pwd /home/me/milozero
    '/images/milo zero.sif'
    mpiexec -n 2
    python main.py
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

# Whether, and how, to go on; does not return where not.
decide() {
  local why is_asked_by_user=
  [ ! -e "$ledger/stop" ] || is_asked_by_user=yes
  [ -z "$asked" ] || is_asked_by_user=yes
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
  [ "$why" != time ] || finish stopped time 75
  [ "$restart" -lt "$max_restarts" ] || finish gave_up max_restarts "$code"
  # the checkpoint is still the one from before the last two restarts
  local ends
  mapfile -t ends < <(told end | tail -n 3 | cut -d ' ' -f 5)
  if [ "${#ends[@]}" = 3 ] && [ "${ends[0]}" = "${ends[1]}" ] && [ "${ends[1]}" = "${ends[2]}" ]; then
    finish gave_up no_progress "$code"
  fi
  [ -z "$asked" ] || rm -f -- "$run_folder/stop"  # it was for this start only
  note requeue "$why"
  say "$run: resumes ($why)"
  sleep 1
}

lock || { say "$run: another job runs submission $submission"; exit 0; }
exec > >(trap '' HUP INT TERM; exec tee -a -- /home/me/milozero/data/swarms/test-ffad79e7/logs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00.log) 2>&1
cd -- /home/me/milozero || exit 6
trap 'ask USR1' USR1
trap 'ask TERM' TERM
trap 'ask INT' INT
trap 'ask HUP' HUP
while :; do
  restart=$(told start | wc -l)
  note start "$$"
  say "$run: start $restart of submission $submission on $host"
  if [ -n "$asked" ] || [ -e "$ledger/stop" ]; then code=75; else run_program; fi
  note end "$code $(checkpoint)"
  decide
done
