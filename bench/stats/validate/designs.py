"""Three designs for measuring and evaluating the same slices. All give an estimate after every session.

interleaved: the suite's own: pairs, a median per session, Student's t over sessions (bench.stats.cluster).
one after the other: all of the arm, then all of the host, evaluated as favourably as possible (medians of
sessions, Welch's t). pooled: interleaved slices of both arms, all treated as independent, Welch's t.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy import special

from bench.stats.location import Floats
from bench.stats.validate.worlds import DrawnNoise, log_ratios

INTERLEAVED, ONE_AFTER_OTHER, POOLED = DESIGNS = ("interleaved", "A then B", "pooled slices")


class Path(msgspec.Struct, frozen=True):
    """After `start`, start + 1, … sessions: estimate, standard error, degrees of freedom, (runs, looks)."""

    start: int
    centre: Floats
    error: Floats
    free: Floats

    def at(self, sessions: int) -> Path:
        """Return the path after so many sessions only."""
        here = slice(sessions - self.start, sessions - self.start + 1)
        return Path(sessions, self.centre[:, here], self.error[:, here], self.free[:, here])

    def since(self, sessions: int) -> Path:
        """Return the path from so many sessions on."""
        here = slice(sessions - self.start, None)
        return Path(sessions, self.centre[:, here], self.error[:, here], self.free[:, here])

    def half_width(self, levels: Floats) -> Floats:
        """Return the distance from the estimate to a one-sided bound at each look's level, (looks,)."""
        return np.asarray(-special.stdtrit(self.free, levels) * self.error)


def interleaved(noise: DrawnNoise) -> Path:
    """Median of pairs a session, t over the sessions so far, from the second on."""
    mean, variance, count = _running(np.median(log_ratios(noise), axis=-1))
    return Path(2, mean, np.sqrt(variance / count), np.broadcast_to(count - 1.0, mean.shape))


def pooled(noise: DrawnNoise) -> Path:
    """Both arms' slices, the first session's on, as two groups of independent values."""
    slots = noise.drift.reshape(*noise.arm.shape, 2)
    early, late = slots[..., 0], slots[..., 1]
    arm = noise.arm + np.where(noise.first, early, late)
    host = noise.host + np.where(noise.first, late, early)
    runs, sessions, pairs = arm.shape
    ends = np.arange(2, sessions + 1) * pairs
    groups = [_running(one.reshape(runs, -1), ends) for one in (arm, host)]
    return _welch(groups[0], groups[1])


def one_after_other(noise: DrawnNoise, sessions: int) -> Path:
    """`sessions` sessions of the arm, then as many of the host; looks after these, from the second on."""
    runs, _, pairs = noise.arm.shape
    slots = noise.drift[:, : 2 * sessions * pairs].reshape(runs, 2 * sessions, pairs)
    arm = np.median(noise.arm[:, :sessions] + slots[:, :sessions], axis=-1)
    host = np.median(noise.host[:, :sessions] + slots[:, sessions:], axis=-1)
    whole = tuple(part[..., -1:] for part in _running(arm))
    return _welch((whole[0], whole[1], whole[2]), _running(host))


Moments = tuple[Floats, Floats, Floats]


def _running(values: Floats, ends: Floats | None = None) -> Moments:
    """Mean, variance, count of the first 2, 3, … values (or `ends`) of each run: (runs, looks), (looks,)."""
    count = np.arange(2, values.shape[1] + 1) if ends is None else ends
    total = np.cumsum(values, axis=1)[:, count - 1]
    squares = np.cumsum(values**2, axis=1)[:, count - 1]
    mean = total / count
    variance = np.maximum(squares - count * mean**2, 0.0) / (count - 1)
    return mean, variance, count.astype(np.float64)


def _welch(arm: Moments, host: Moments) -> Path:
    """Welch–Satterthwaite, as bench.stats.unpaired.welch, for many runs at once."""
    u, v = arm[1] / arm[2], host[1] / host[2]
    free = (u + v) ** 2 / (u**2 / (arm[2] - 1.0) + v**2 / (host[2] - 1.0))
    return Path(2, arm[0] - host[0], np.sqrt(u + v), free)
