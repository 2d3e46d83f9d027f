#!/usr/bin/env bash
# Builds the Dockerfile and trains in it with two workers, without docker and without a registry: podman on a base
# image that debootstrap makes. Root on Debian or Ubuntu; takes some minutes and 4 GB.
#
#   benchmarks/container.sh [SCRATCH_FOLDER]        the log goes to standard output
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=${1:-$(mktemp -d)}
mkdir -p "$scratch"
step() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

step "podman, buildah, runc, debootstrap"
missing=()
for program in podman buildah runc debootstrap; do type -P "$program" >/dev/null || missing+=("$program"); done
if [ "${#missing[@]}" -gt 0 ]; then
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
fi
podman --version
engine=(podman --root "$scratch/storage" --runroot "$scratch/run" --cgroup-manager cgroupfs --runtime "$(type -P runc)")

step "base image"
[ -e "$scratch/rootfs/bin/sh" ] || debootstrap --variant=minbase bookworm "$scratch/rootfs" >/dev/null
tar -C "$scratch/rootfs" -cf - . | "${engine[@]}" import - localhost/debian:bookworm-local | tail -n 1

# pip inside looks where pip outside does: mirrors, caches of wheels, certificates.
settings=()
for name in $(compgen -e PIP_ | grep -v '^PIP_CERT$') HTTP_PROXY HTTPS_PROXY http_proxy https_proxy; do
  [ -z "${!name:-}" ] || settings+=(--env "$name=${!name}")
done
for folder in ${PIP_FIND_LINKS:-}; do [ ! -d "$folder" ] || settings+=(--volume "$folder:$folder:ro"); done
# not over the place where the image's own certificates are being installed
[ ! -e "${PIP_CERT:-}" ] || settings+=(--volume "$PIP_CERT:/opt/host-ca.crt:ro" --env PIP_CERT=/opt/host-ca.crt --env SSL_CERT_FILE=/opt/host-ca.crt)

step "podman build"
"${engine[@]}" build --network host "${settings[@]}" --build-arg BASE_IMAGE=localhost/debian:bookworm-local \
  --build-arg TORCH_INDEX="${TORCH_INDEX-}" --build-arg PIP_EXTRAS="${PIP_EXTRAS-}" -t milozero -f Dockerfile . 2>&1 | tail -n 25

step "two workers train in the image"
"${engine[@]}" run --rm --network host --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --shm-size=256m milozero sh -c '
  mpiexec -n 2 python main.py --task=train --config=tasks/train_mujoco_ppo.yaml --num_timesteps=20480 --eval_frequency=5 \
    --uuid=container.seed00 &&
  mpiexec -n 2 python main.py --task=eval --model_path=data/runs/container.seed00 --num_trajs=2 --record'
step "podman build --target opensim"
"${engine[@]}" build --network host "${settings[@]}" --build-arg BASE_IMAGE=localhost/debian:bookworm-local \
  --build-arg TORCH_INDEX="${TORCH_INDEX-}" --target opensim -t milozero-opensim -f Dockerfile . 2>&1 | tail -n 8

step "an arm is trained in that image, without a network"
"${engine[@]}" run --rm --network none --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --shm-size=256m milozero-opensim sh -c '
  python main.py --config=tasks/train_opensim_ppo.yaml --num_timesteps=4096 --eval_frequency=1 --eval_episodes=2 --uuid=arm.seed00 &&
  python main.py --task=eval --model_path=data/runs/arm.seed00 --num_trajs=1 --record &&
  python -c "from environments.requirements import check_environment; check_environment(\"Opensim-L2M2019-v0\", {})"'
step "done: $scratch can be removed"
