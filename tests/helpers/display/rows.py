"""Rows of metrics and a clock, for tests of what is shown of them."""


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def row(iteration, **metrics):
    return {"iteration": iteration, "step": 1000 * iteration, **metrics}
