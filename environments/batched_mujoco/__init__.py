"""MuJoCo tasks stepped many at once: physics in C, everything else vectorised over the batch.

The eleven tasks here are Gymnasium's v5 ones, equal to them in every bit. A task is one small file;
docs/environments.md shows how to write another.
"""
