"""
The task-type model: a softmax over sparse features and two static embeddings of the text, fitted with Adam.

Templates carry a fine type; real rows a coarse label, which is the sum of its fine types, so their loss is
-log(sum of the probabilities that are right). Features are dropped at random while training: a model that may not lean
on one word learns the others.
"""

from collections import Counter

import numpy as np
import torch
from prompts import COARSE, TYPES

from sidecar.classifiers.embedded.features import read

KINDS = len(TYPES)
LEAST_ROWS = 2
"""Features seen in fewer rows are not kept."""


def features_of(texts, groups_of=lambda reading: reading.groups):
    """For each text the names of its features and the weight of each."""
    found = []
    for text in texts:
        groups = groups_of(read(text))
        found.append([(name, len(group) ** -0.5) for group in groups for name in group])
    return found


def vocabulary(found, least=LEAST_ROWS):
    seen = Counter(name for names in found for name, _ in names)
    return {name: at for at, name in enumerate(sorted(n for n, c in seen.items() if c >= least))}


class Bag:
    """Rows of (feature id, weight), padded-free, as torch wants them."""

    def __init__(self, found, vocab):
        self.rows = []
        for names in found:
            pairs = [(vocab[n], w) for n, w in names if n in vocab]
            self.rows.append((np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.float32)))

    def batch(self, picks, keep=1.0, chance=None):
        ids, weights, offsets, at = [], [], [], 0
        for pick in picks:
            i, w = self.rows[pick]
            if chance is not None and keep < 1:
                mask = chance.random(len(i)) < keep
                i, w = i[mask], w[mask] / keep
            offsets.append(at)
            ids.append(i)
            weights.append(w)
            at += len(i)
        return torch.from_numpy(np.concatenate(ids)), torch.tensor(offsets), torch.from_numpy(np.concatenate(weights))


def targets_of_fine(kinds):
    hot = np.zeros((len(kinds), KINDS), np.float32)
    hot[np.arange(len(kinds)), [TYPES.index(k) for k in kinds]] = 1
    return hot


def targets_of_coarse(rows):
    hot = np.zeros((len(rows), KINDS), np.float32)
    for n, row in enumerate(rows):
        for label in (*row["also"], row["label"]):
            for kind in COARSE[label]:
                hot[n, TYPES.index(kind)] = max(hot[n, TYPES.index(kind)], 1.0 if label == row["label"] else 0.6)
    return hot


def sum_of_right(logits, targets):
    """-log of the probability given to whatever is right; a target below one counts for less."""
    return -torch.logsumexp(torch.log_softmax(logits, 1) + torch.log(targets + 1e-9), 1)


def each_by_itself(logits, targets):
    """The sum of the binary cross entropies, for outputs that do not exclude each other."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)


def fit(
    found,
    dense,
    targets,
    weights,
    *,
    loss_of=sum_of_right,
    epochs=14,
    seed=0,
    keep=0.7,
    rate=0.01,
    decay=2e-6,
    vocab=None,
):
    """(vocabulary, sparse weights [features, kinds], dense weights [dims, kinds], bias [kinds])."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    chance = np.random.default_rng(seed)
    vocab = vocab or vocabulary(found)
    bag = Bag(found, vocab)
    table = torch.nn.EmbeddingBag(len(vocab), KINDS, mode="sum")
    torch.nn.init.zeros_(table.weight)
    linear = torch.nn.Linear(dense.shape[1], KINDS)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    parameters = [*table.parameters(), *linear.parameters()]
    best = torch.optim.Adam(parameters, lr=rate)
    dense, targets, weights = torch.from_numpy(dense), torch.from_numpy(targets), torch.from_numpy(weights)
    steps = epochs * (len(found) // 256 + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(best, max_lr=rate, total_steps=steps + epochs)
    for _ in range(epochs):
        order = chance.permutation(len(found))
        for start in range(0, len(order), 256):
            picks = order[start : start + 256]
            ids, offsets, per = bag.batch(picks, keep, chance)
            logits = table(ids, offsets, per_sample_weights=per) + linear(dense[picks])
            loss = (loss_of(logits, targets[picks]) * weights[picks]).mean()
            loss = loss + decay * (table.weight**2).sum() + 10 * decay * (linear.weight**2).sum()
            best.zero_grad()
            loss.backward()
            best.step()
            schedule.step()
    return vocab, table.weight.detach().numpy(), linear.weight.detach().numpy().T, linear.bias.detach().numpy()


def logits_of(model, found, dense):
    vocab, sparse, linear, bias = model
    out = dense @ linear + bias
    for n, names in enumerate(found):
        for name, weight in names:
            if name in vocab:
                out[n] += weight * sparse[vocab[name]]
    return out
