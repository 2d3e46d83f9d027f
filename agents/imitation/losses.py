"""Pure functions of imitation: verdicts into losses and rewards, penalties, spectral norms.

A logit is log D - log(1 - D) of D, the probability that a transition is the expert's. Shapes: B rows, d numbers of
a row. Weights (B,) of a side sum to 1 over the global minibatch, so that sums over workers are its means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Tensors = Mapping[str, Tensor]
Terms = dict[str, Tensor]  # scalars by name, each this worker's part
Loss = Callable[[Tensors], Terms]
Net = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

ROOT_GUARD = 1e-12  # under the root of a squared norm, whose gradient at 0 is infinite
FAIRL_LIMIT = 10.0  # logits beyond are cut: the reward's magnitude grows like their exponential
TINY = 1e-12


def verdict_loss(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy -y log D - (1 - y) log(1 - D) of logits (B,), weighted, a scalar.

    Labels (B,) may be any numbers, so that they can be smoothed beyond 1.
    """
    return (weight * (functional.softplus(logits) - labels * logits)).sum()


def verdict_entropy(logits: Tensor, weight: Tensor) -> Tensor:
    """Entropy in nats of verdicts (B,), weighted, a scalar."""
    return (weight * (functional.softplus(logits) - logits * torch.sigmoid(logits))).sum()


def smooth_labels(kind: str, uniform: Tensor, *, label: float) -> Tensor:
    """Labels (B,) in place of `label`, 1 or 0.

    Args:
        kind: "none"; "random-uniform_0.7_1.2", drawn in a range; "soft-labels_0.1", so far from the label
            towards the other one; "disturb-label_0.1", flipped with that probability.
        uniform: (B,) in [0, 1), one number a label.
        label: of this side.
    """
    name, *numbers = kind.split("_")
    values = [float(number) for number in numbers]
    if name == "random-uniform":
        return values[0] + (values[1] - values[0]) * uniform
    full = torch.full_like(uniform, label)
    if name == "soft-labels":
        return full + (1.0 - 2.0 * label) * values[0]
    if name == "disturb-label":
        return torch.where(uniform < values[0], 1.0 - full, full)
    return full


def mean_label(kind: str, *, label: float) -> float:
    """What `smooth_labels` draws in the mean."""
    half = torch.full((1,), 0.5, dtype=torch.float64)
    if kind.startswith("disturb-label"):
        flipped = float(kind.partition("_")[2])
        return label * (1.0 - flipped) + (1.0 - label) * flipped
    return float(smooth_labels(kind, half, label=label).item())


def unlabelled_risk(
    expert_logits: Tensor,
    policy_logits: Tensor,
    *,
    expert_weight: Tensor,
    policy_weight: Tensor,
    eta: float,
) -> Tensor:
    """What the policy's transitions cost as the policy's, less the part eta of them that is the expert's.

    Positive-unlabelled learning: E_policy[-log(1-D)] - eta E_expert[-log(1-D)], a scalar; where it is negative, which
    the true one never is, the discriminator has overfitted (Kiryo et al., arXiv:1703.00593, Eq. 6; for imitation
    Xu and Denil, arXiv:1911.00459).
    """
    zeros = torch.zeros_like
    cost = verdict_loss(policy_logits, zeros(policy_logits), policy_weight)
    return cost - eta * verdict_loss(expert_logits, zeros(expert_logits), expert_weight)


def gradient_norms(logits: Tensor, rows: Tensor) -> Tensor:
    """Norms (B,) of the gradient of each logit by its row (B, d), differentiable once more."""
    (gradient,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    return (gradient.square().sum(-1) + ROOT_GUARD).sqrt()


def gradient_penalty(norms: Tensor, *, target: float, one_sided: bool) -> Tensor:
    """Squared distances (B,) of norms from their target, of those beyond it if one-sided.

    Gulrajani et al., arXiv:1704.00028, Eq. 3; one-sided as in its section 4.
    """
    excess = norms - target
    return (torch.relu(excess) if one_sided else excess).square()


def interpolates(
    kind: str,
    expert: Tensor,
    policy: Tensor,
    *,
    uniform: Tensor,
    spread: Tensor,
) -> Tensor:
    """Rows (B, d) at which the gradient is penalised.

    Args:
        kind: "wgan", anywhere between an expert's row and one of the policy's (arXiv:1704.00028, Algorithm 1);
            "dragan", within half a standard deviation of the expert's (arXiv:1705.07215, and its authors' code).
        expert, policy: (B, d).
        uniform: (B, 1 or 1 + d) in [0, 1): a mixture for each row, not one for all; then the place around it.
        spread: (d,) standard deviations of the expert.
    """
    mixture = uniform[:, :1]
    if kind == "wgan":
        return mixture * expert + (1.0 - mixture) * policy
    return expert + mixture * 0.5 * spread * uniform[:, 1:]


# The loss of a discriminator, composed of functions of a minibatch's tensors, which are named as in batch.py; beside
# them are "expert.rows", "policy.rows", and the logits of these, "expert.logit" and "policy.logit".


def labelled_loss(t: Tensors) -> Terms:
    """Cross entropy of both sides' verdicts with their labels."""
    expert = verdict_loss(t["expert.logit"], t["expert.label"], t["expert.weight"])
    return {
        "loss": expert + verdict_loss(t["policy.logit"], t["policy.label"], t["policy.weight"]),
    }


def unlabelled_loss(*, eta: float) -> Loss:
    """Cross entropy of the expert's verdicts, and the risk of the policy's, unless "gate" is 0 (PURL)."""

    def loss(t: Tensors) -> Terms:
        expert = eta * verdict_loss(t["expert.logit"], t["expert.label"], t["expert.weight"])
        risk = unlabelled_risk(
            t["expert.logit"],
            t["policy.logit"],
            expert_weight=t["expert.weight"],
            policy_weight=t["policy.weight"],
            eta=eta,
        )
        return {"loss": expert + (t["gate"] * risk).sum()}

    return loss


def add_entropy(loss: Loss) -> Loss:
    """A loss, and beside it the mean entropy of all verdicts."""

    def with_entropy(t: Tensors) -> Terms:
        terms = loss(t)
        expert = verdict_entropy(t["expert.logit"], t["expert.weight"])
        policy = verdict_entropy(t["policy.logit"], t["policy.weight"])
        return terms | {"entropy": 0.5 * torch.stack([expert, policy]).sum()}

    return with_entropy


def add_gradient_penalty(
    loss: Loss,
    net: Net,
    *,
    kind: str | None,
    target: float,
    one_sided: bool,
    batch_size: int,
) -> Loss:
    """A loss, and beside it the mean penalty on the gradients of logits by their rows, and their mean norm.

    Args:
        loss: to be penalised.
        net: the discriminator: (logits, vectors) of rows, of whether something comes after them, and of vectors.
        kind: where: of `interpolates`; None is nowhere.
        target, one_sided: of `gradient_penalty`.
        batch_size: rows of all workers.
    """

    def with_penalty(t: Tensors) -> Terms:
        terms = loss(t)
        penalty = norm = torch.zeros_like(terms["loss"])
        if kind is not None:
            expert, uniform = t["expert.rows"], t["uniform"]
            mixture, policy_goes_on = uniform[:, 0], t["policy.goes_on"][: len(expert)]
            policy = t["policy.rows"][: len(expert)]
            at = interpolates(kind, expert, policy, uniform=uniform, spread=t["spread"])
            goes_on = t["expert.goes_on"]
            if kind == "wgan":
                goes_on = mixture * goes_on + (1.0 - mixture) * policy_goes_on
            at = at.detach().requires_grad_()
            norms = gradient_norms(net(at, goes_on, t["vectors"])[0], at)
            penalties = gradient_penalty(norms, target=target, one_sided=one_sided)
            penalty, norm = penalties.sum() / batch_size, norms.sum() / batch_size
        return terms | {"penalty": penalty, "gradient_norm": norm}

    return with_penalty


# Rewards


def reward_of_logit(logits: Tensor, shape: str) -> Tensor:
    """Rewards of logits, elementwise.

    "gail" -log(1-D) > 0; "log_d" log D < 0; "airl" log D - log(1-D); "fairl" -l exp(l) of the logit l, cut to +-10
    (Ghasemipour et al., arXiv:1911.02256); "probability" D in (0, 1); "signed" 2 D - 1 in (-1, 1).
    """
    if shape == "gail":
        return functional.softplus(logits)
    if shape == "log_d":
        return -functional.softplus(-logits)
    if shape == "airl":
        return logits.clone()
    if shape == "fairl":
        cut = logits.clamp(-FAIRL_LIMIT, FAIRL_LIMIT)
        return -cut * cut.exp()
    if shape == "probability":
        return torch.sigmoid(logits)
    if shape == "signed":
        return torch.tanh(0.5 * logits)
    raise ValueError(f"no reward of type {shape}")


def clip_and_scale(rewards: Tensor, *, scale: float, limit: float) -> Tensor:
    """Rewards cut to +-limit (0: not), then scaled."""
    cut = rewards.clamp(-limit, limit) if limit > 0.0 else rewards
    return cut * scale


def loops_of_an_end(gamma: float) -> float:
    """Steps gamma + gamma^2 + ... from an absorbing state to itself that an end is worth, gamma / (1 - gamma)."""
    return gamma / (1.0 - gamma)


def with_end_value(rewards: Tensor, ends: Tensor, *, absorbing: Tensor, gamma: float) -> Tensor:
    """Rewards (B,) that hold the value of what comes after the task's end, discount 0 staying as it is.

    The absorbing state that a terminated transition leads to pays the reward `absorbing` at every step for ever,
    so it is worth absorbing / (1 - gamma); docs/sam.md derives it.

    Args:
        rewards: of the transitions.
        ends: (B,) 1 where the task ended, 0 elsewhere.
        absorbing: (), the reward of the step from the absorbing state to itself.
        gamma: discount of a step, below 1.
    """
    return rewards + ends * loops_of_an_end(gamma) * absorbing


def shaped_reward(own: Tensor, value: Tensor, next_value: Tensor, *, discount: Tensor) -> Tensor:
    """g + gamma h(s') - h(s) (B,), arXiv:1710.11248, Eq. 4; the discount is 0 where nothing comes after."""
    return own + discount * next_value - value


def spectral_norm(weight: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """An estimate from below of a matrix's largest singular value, and the vector that improves the next one.

    One step of power iteration, arXiv:1802.05957, Algorithm 1; the vectors are constants to the gradient.

    Args:
        weight: (out, in).
        vector: (out,), of length 1, near the first left singular vector.
    """
    with torch.no_grad():
        right = functional.normalize(weight.t() @ vector, dim=0, eps=TINY)
        left = functional.normalize(weight @ right, dim=0, eps=TINY)
    return left @ (weight @ right), left


def distillation_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared distances (B,) of two embeddings (B, k)."""
    return (predicted - target).square().sum(-1)


def distilled_reward(errors: Tensor, *, width: Tensor) -> Tensor:
    """exp(-error / width) (B,), arXiv:1905.06750, section 3.1, with sigma_1 = 1 / width."""
    return torch.exp(-errors / width)
