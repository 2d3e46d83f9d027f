#!/usr/bin/env bash
# Two hosts emulated on this machine: network namespaces joined by a cable (a pair of virtual Ethernet devices).
#
#   benchmarks/scaling/netns/up.sh [RATE]      RATE of the cable in each direction, as tc writes it (1gbit); none: unlimited
#
# A host's name is its address, so that nothing has to look it up. Needs root, or a user namespace in which one is root
# (python -m benchmarks.scaling enters a network of its own, root or not). Undone by down.sh.
set -euo pipefail
hosts=(10.77.0.1 10.77.0.2)
rate=${1-}

for host in "${hosts[@]}"; do
  ip netns add "$host"
  ip -n "$host" link set lo up
done
ip link add cable netns "${hosts[0]}" type veth peer name cable netns "${hosts[1]}"
for host in "${hosts[@]}"; do
  ip -n "$host" address add "$host/24" dev cable
  ip -n "$host" link set cable up
  if [ -n "$rate" ]; then
    # Large segments would pass the bucket at once, as no real cable lets them.
    ip -n "$host" link set cable gso_max_size 4096 gro_max_size 4096
    ip netns exec "$host" tc qdisc add dev cable root tbf rate "$rate" burst 64kb latency 50ms
  fi
done
for host in "${hosts[@]}"; do
  until ip -n "$host" link show cable | grep -q "state UP"; do sleep 0.05; done  # the kernel takes up to a second
done
