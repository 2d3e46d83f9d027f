#!/usr/bin/env bash
# Sets up .venv on a cluster whose software comes as modules; run it once, on a login node, in the clone.
#
#   ./setup_env_slurm.sh [--system-mpi] [--cuda] [MODULE ...]
#
#   ./setup_env_slurm.sh GCCcore/13.3.0 Python/3.12.3                             MPI comes from pip (MPICH), as everywhere
#   ./setup_env_slurm.sh --system-mpi GCC/13.3.0 Python/3.12.3 OpenMPI/5.0.3      the cluster's MPI, for its network
#
#   --system-mpi   mpi4py is built against the MPI that the modules bring, and the packaged MPICH is left out
#   --cuda         torch with CUDA, gigabytes more; without it torch for processors
#
# It may be run again: what is there is kept, what is missing is installed. At its end it says what to write into your calibers file,
# so that each job loads the same modules.
set -u -o pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" || exit 1

venv=.venv
system_mpi=
cuda=
modules=()

refuse() { # PROBLEM REMEDY
  printf 'milozero: %s\n  remedy: %s\n' "$1" "$2" >&2
  exit 2
}

for word in "$@"; do
  case $word in
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --system-mpi) system_mpi=yes ;;
    --cuda) cuda=yes ;;
    -*) refuse "There is no option $word." "See: ./setup_env_slurm.sh --help" ;;
    *) modules+=("$word") ;;
  esac
done

if [ "${#modules[@]}" -gt 0 ]; then
  # a shell that is no login shell may not have heard of modules
  if ! type module >/dev/null 2>&1; then
    for file in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
      [ -r "$file" ] && . "$file" && break
    done
  fi
  type module >/dev/null 2>&1 || refuse "There is no command module here." "Run it in a login shell, or name no modules."
  for name in "${modules[@]}"; do
    module load "$name" || refuse "The module $name cannot be loaded." "module spider ${name%%/*} tells which there are, and what to load before."
  done
fi

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=
for name in python3.11 python3.12 python3.13 python3 python; do
  if is_new_enough "$name"; then
    python=$(type -P "$name")
    break
  fi
done
[ -n "$python" ] || refuse "There is no Python 3.11 or newer here." "Name its module: module spider Python; ./setup_env_slurm.sh Python/3.12.3"

# The folder of an environment is written into it: one that was copied, or whose Python is gone, is made anew.
if ! "$venv/bin/python" -c '' 2>/dev/null; then
  rm -rf -- "$venv"
  "$python" -m venv "$venv" || refuse "$python cannot make $venv." "See that there is space and quota: quota -s; df -h ."
fi
# not from ~/.local: packages there are of another Python, and come first
export PYTHONNOUSERSITE=1
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
failed() { refuse "pip could not install $1." "Read what it says above; compute nodes seldom have a network, login nodes do."; }

index=(--extra-index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}")
[ -z "$cuda" ] || index=()
requirements=requirements.txt
if [ -n "$system_mpi" ]; then
  type -P mpicc >/dev/null || refuse "--system-mpi: there is no mpicc." "Name the module of your MPI: module spider OpenMPI"
  requirements=$venv/requirements-system-mpi.txt
  grep -v -E '^(mpich|mpi4py)==' requirements.txt >"$requirements"
fi
pip install "${index[@]}" -r "$requirements" || failed "$requirements"
if [ -n "$system_mpi" ]; then
  pip uninstall -y mpich >/dev/null 2>&1
  MPICC=$(type -P mpicc) pip install --no-cache-dir --no-binary=mpi4py "$(grep '^mpi4py==' requirements.txt)" || failed mpi4py
fi

"$venv/bin/python" -c 'import torch, gymnasium, mujoco, mpi4py.MPI as MPI; print("ready:", MPI.Get_library_version().split(",")[0].strip())' ||
  refuse "What was installed does not work together." "Read the traceback above; other modules than these may be loaded: module list"

partition=$(sinfo --noheader --format=%R 2>/dev/null | head -n 1)
partition=${partition:-NAME}
cat <<END

Write this into ~/.config/milozero/calibers.yaml, with the partitions that sinfo lists and an account if you need one:

default_cluster: mine
mine:
  all: {${modules[*]:+modules: ${modules[*]}, }memory: 16G}
  debug: {time: 0-00:10:00, cpu_partition: $partition}
  short: {time: 0-06:00:00, cpu_partition: $partition}

Then try one short job:

$venv/bin/python spawner.py --config tasks/train_classic_ppo.yaml --deployment slurm --caliber debug${system_mpi:+ --launcher srun --mpi pmix} --deploy_now
END
