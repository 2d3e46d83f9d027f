"""SBX's PPO: Stable-Baselines3's loop around compiled JAX. Fastest where `taskset` gives it one core.

On several cores XLA hands the work of small operations from thread to thread, which costs more than it brings.
"""

import flax.linen
from sbx import PPO

from benchmarks.speed.peers.sb3 import run

if __name__ == "__main__":
    run(PPO, tanh=flax.linen.tanh)
