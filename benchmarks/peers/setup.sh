#!/usr/bin/env bash
# Virtual environments of the peers that benchmarks/speed.py measures: one each, under .peers/.
set -eu
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
make_peer() {  # name, packages ...
    local folder=".peers/$1"
    shift
    [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
    "$folder/bin/pip" install --quiet torch==2.13.0
    "$folder/bin/pip" install --quiet "$@"
    echo "$folder is ready"
}
make_peer sb3 "stable-baselines3==2.9.2" "gymnasium[mujoco]" "mujoco<4"
echo "next: .venv/bin/python benchmarks/speed.py"
