#!/usr/bin/env bash
# Stands in for ssh, for mpiexec's -launcher-exec: agent.sh [OPTIONS] HOST COMMAND...
# runs the command in the network namespace HOST, with that hostname, from the current folder.
set -euo pipefail
while [[ $1 == -* ]]; do shift; done
host=$1
shift
# shellcheck disable=SC2016  # expanded by the shell inside
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$1" && exec sh -c "$2"' sh "$host" "$*"
