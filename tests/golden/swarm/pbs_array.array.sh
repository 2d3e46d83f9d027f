#!/usr/bin/env bash
#PBS -J 0-1%4
#PBS -N test-ffad79e7
#PBS -S /bin/bash
#PBS -l select=1:ncpus=2:mpiprocs=2:ompthreads=1:mem=8gb:cpu_type=rome
#PBS -l walltime=25:01:01
#PBS -q short
#PBS -r y
#PBS -j oe
#PBS -o /dev/null
#PBS -A lab
#PBS -W "umask=0 2"
# All runs of the swarm test-ffad79e7, written by spawner.py: a task of the array is a run.
# By hand: qsub array.sh, or some of them: qsub -J 2-5 array.sh. The submission is MILOZERO_SUBMISSION, 001 if not given.

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
place=$PBS_ARRAY_INDEX
script=${scripts[place]}
# the spawner puts a copy there; started by hand before, only the original is here
[ -e "$script" ] || script=/home/me/milozero/data/swarms/test-ffad79e7/launch/${names[place]}.sh
exec bash -- "$script" "${1:-${MILOZERO_SUBMISSION:-001}}" >>"${logs[place]}" 2>&1
