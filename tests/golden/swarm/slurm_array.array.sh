#!/usr/bin/env bash
#SBATCH --array=0-1%4
#SBATCH --job-name=test-ffad79e7
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --time=0-06:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/home/me/milozero/data/swarms/test-ffad79e7/logs/array_%a.log
# All runs of the swarm test-ffad79e7, written by spawner.py: a task of the array is a run.
# By hand: sbatch array.sh, or two of them: sbatch --array=0,3 array.sh. Arguments: the submission, 001 if not given,
# and the place of the run of index 0, where the cluster's arrays are shorter than the swarm.

scripts=(
  /home/me/milozero/data/runs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00/job.sh
  /home/me/milozero/data/runs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed01/job.sh
)
names=(
  try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00
  try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed01
)
logs=(
  /home/me/milozero/data/swarms/test-ffad79e7/logs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed00.log
  /home/me/milozero/data/swarms/test-ffad79e7/logs/try.forest_harvest_aurora_poplar.ppo.gitSHA_1234567.CartPole-v1.seed01.log
)
place=$((SLURM_ARRAY_TASK_ID + ${2:-0}))
script=${scripts[place]}
# the spawner puts a copy there; started by hand before, only the original is here
[ -e "$script" ] || script=/home/me/milozero/data/swarms/test-ffad79e7/launch/${names[place]}.sh
exec bash -- "$script" "${1:-001}" >>"${logs[place]}" 2>&1
