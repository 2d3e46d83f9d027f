#!/usr/bin/env bash
# Installs the peers that the programs of benchmarks/speed measure, each into a virtual environment of its own, .peers/<name>.
#
#   benchmarks/speed/peers/setup.sh               all of them
#   benchmarks/speed/peers/setup.sh sbx skrl      these
#
# About 1.5 GB and two minutes a peer. What is installed is not installed again; a peer that fails is named at the end
# and the others go on. Status 0: all are ready, 1: some failed, 2: it could not begin. PYTHON=... picks the interpreter.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 2
python="${PYTHON:-python3}"
peers=(sb3 skrl tianshou sheeprl sbx cleanrl imitation)
command -v "$python" >/dev/null || { echo "there is no $python; name one: PYTHON=/path/to/python3.11 $0" >&2; exit 2; }

# Everybody steps the same environments on the same physics, which is the one of requirements.txt.
pinned() { sed -n "s/^$1\(\[[^]]*\]\)\{0,1\}==\([^ #]*\).*/\2/p" requirements.txt; }
torch="torch==$(pinned torch)"
physics=("gymnasium[mujoco]==$(pinned gymnasium)" "mujoco==$(pinned mujoco)")
# But imitation, which wants a Gymnasium of 2023 and so the MuJoCo of that time.
physics_of() { # NAME
  if [ "$1" = imitation ]; then echo "gymnasium[mujoco]==0.29.1 mujoco==3.1.6"; else echo "${physics[*]}"; fi
}

packages_of() { # NAME: what is installed after torch
  case "$1" in
    sb3) echo stable-baselines3==2.9.2 ;;
    skrl) echo skrl==2.1.1 tensorboard ;;
    tianshou) echo tianshou==2.0.1 ;;
    sheeprl) echo sheeprl==0.8.4 ;;
    sbx) echo sbx-rl==0.28.0 jax==0.10.2 jaxlib==0.10.2 ;;
    cleanrl) echo tyro tensorboard ;;
    imitation) echo imitation==1.0.1 stable-baselines3==2.2.1 ;;
    *) return 1 ;;
  esac
}

# CleanRL is single files of a repository. The package of that name on PyPI, 0.4.8 of 2021, is for gym and mujoco-py.
fetch_cleanrl() {
  local target=.peers/cleanrl/repository
  [ -d "$target/.git" ] && return
  rm -rf "$target"
  GIT_TERMINAL_PROMPT=0 timeout 300 git clone --quiet --depth 1 "${CLEANRL:-https://github.com/vwxyzjn/cleanrl}" "$target"
}

install_peer() { # NAME
  local folder=.peers/$1 packages
  read -r -a packages <<<"$(physics_of "$1") $(packages_of "$1")"
  [ -x "$folder/bin/python" ] || "$python" -m venv "$folder" || return
  if [ "$1" = cleanrl ]; then fetch_cleanrl || return; fi
  "$folder/bin/pip" install --quiet "$torch" || return # first: pip then takes no other build of it
  "$folder/bin/pip" install --quiet "$torch" "${packages[@]}"
}

for name in "$@"; do
  packages_of "$name" >/dev/null || { echo "there is no peer called $name; they are: ${peers[*]}" >&2; exit 2; }
done
[ "$#" -gt 0 ] && peers=("$@")
mkdir -p .peers || exit 2
failed=()
for name in "${peers[@]}"; do
  wanted="$torch $(physics_of "$name") $(packages_of "$name")"
  if [ "$(cat ".peers/$name/.ready" 2>/dev/null)" = "$wanted" ]; then
    echo "$name: ready"
    continue
  fi
  echo "$name: installing $wanted (log: .peers/$name.log)"
  started=$SECONDS
  if install_peer "$name" >".peers/$name.log" 2>&1; then
    echo "$wanted" >".peers/$name/.ready"
    echo "$name: ready after $((SECONDS - started)) s"
  else
    failed+=("$name")
    echo "$name: FAILED after $((SECONDS - started)) s: $(tail -n 1 ".peers/$name.log")"
  fi
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "Not installed: ${failed[*]}. Run this again once the cause is mended; python -m benchmarks.speed leaves them out and says so." >&2
  exit 1
fi
echo "All are ready. Next: .venv/bin/python -m benchmarks.speed"
