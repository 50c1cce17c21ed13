"""A modality's own labels from the multimodal one: PLGM by the posterior, without training for it.

If modality k shows class u, the clip's multimodal label is m with chance T[u, m]. A classifier
that was trained on multimodal labels then tells q(m | x) = sum over u of p(u | x) T[u, m]. T is
read off the clips that are most like one class (anchors: Patrini et al., Making deep neural
networks robust to label noise, CVPR 2017), p(u | x) is what explains q best, and the label's own
evidence enters by Bayes' rule: p(u | x, m) in proportion to p(u | x) T[u, m]. q must be of
clips that the classifier was not trained on (Northcutt et al., Confident learning, JAIR 2021).

Shapes: N clips, c classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ANCHORS = 0.5  # of a class' clips: those most like it stand for it
ODDS = 2.0  # how much likelier than the present label another class must be
# Of multiplicative updates. They are stopped early: where the rows of T are nearly equal, since the
# modality says little, the mixture then stays near even, and no label moves for noise.
STEPS = 20
_TINY = 1e-12


def transition(q: ArrayLike, labels: ArrayLike) -> Floats:
    """T: (c, c), rows sum to 1; row u is how clips of own class u are labelled.

    q: (N, c) probabilities of the multimodal label, from held-out clips. labels: (N,) classes. The
    anchors of a class are as many clips as half of those it labels, by the largest q of the class.
    A class that labels no clip keeps its row of the identity.
    """
    chances, y = np.asarray(q, np.float64), np.asarray(labels)
    found = np.eye(chances.shape[1])
    for own, clips in enumerate(np.bincount(y, minlength=len(found))):
        if clips:
            anchors = np.argsort(-chances[:, own], kind="stable")[: max(1, round(ANCHORS * clips))]
            found[own] = chances[anchors].mean(axis=0)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def own_class(q: ArrayLike, chances: ArrayLike) -> Floats:
    """p(u | x), (N, c): the mixture of T's rows that comes near to q in relative entropy.

    q: (N, c), chances: T, (c, c). By STEPS updates of Richardson (1972) and Lucy (1974) from an
    even mixture, which keep it a distribution, whatever q is.
    """
    seen, rows = np.asarray(q, np.float64), np.asarray(chances, np.float64)
    found = np.full_like(seen, 1 / seen.shape[1])
    for _ in range(STEPS):
        found = found * ((seen / np.maximum(found @ rows, _TINY)) @ rows.T)
    return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), _TINY))


def posterior(q: ArrayLike, labels: ArrayLike, chances: ArrayLike) -> Floats:
    """p(u | x, m), (N, c): own_class by Bayes' rule with each clip's label, (N,) classes."""
    rows = np.asarray(chances, np.float64)
    joint = own_class(q, rows) * rows[:, np.asarray(labels)].T + _TINY
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def moved(found: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """(N,) classes: the likeliest of (N, c) where it has ODDS against the label, else the label."""
    p, y = np.asarray(found), np.asarray(labels)
    own = np.take_along_axis(p, y[:, None], axis=1)[:, 0]
    return np.where(p.max(axis=1) > ODDS * own, p.argmax(axis=1), y).astype(np.int64)
