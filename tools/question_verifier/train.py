"""Train a cross-encoder on question pairs.

python -m tools.question_verifier.train MODEL_FOLDER train.jsonl OUT --wordnet FOLDER --steps 6000

A checkpoint is written every 250 steps; the same command goes on from it. OUT/average holds the running average of the
weights over about the last thousand steps, which is what to use.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom

from .cross_encoder import CrossEncoder
from .examples import Examples
from .feed import batches
from .lexicon import Lexicon
from .measures import area
from .pairs import Pair, read_labelled
from .wordnet import read_wordnet

__all__ = ["main"]

_SAVED_EVERY, _AVERAGED_EVERY = 250, 10


class _Learner:
    """The optimizer, the running average, and where they stand."""

    def __init__(self, model: CrossEncoder, rate: float, decay: float) -> None:
        self.model, self.rate, self.step = model, rate, 0
        self.average = {name: value.clone() for name, value in model.masters.items()}
        plain = [value for value in model.masters.values() if value.ndim < 2]
        matrices = [value for value in model.masters.values() if value.ndim >= 2]
        groups = [{"params": matrices, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
        self._decay = decay

    def learn(self, pairs: list[Pair], share: float) -> float:
        """One step at this share of the highest rate; the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        targets = torch.tensor([pair.same for pair in pairs])
        loss = F.binary_cross_entropy_with_logits(self.model.logits(pairs), targets)
        loss.backward()
        for master, used in self.model.learnt():
            master.grad = None if used.grad is None else used.grad.float()
            used.grad = None
        torch.nn.utils.clip_grad_norm_(self.model.masters.values(), 1.0)
        self.optimizer.step()
        self.model.refresh()
        self.step += 1
        if self.step % _AVERAGED_EVERY == 0:
            decay = min(self._decay, self.step / (self.step + 10 * _AVERAGED_EVERY))
            for name, value in self.model.masters.items():
                self.average[name].lerp_(value, 1 - decay)
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the checkpoint whole or not at all, and the average."""
        state = {"masters": self.model.masters, "average": self.average, "step": self.step}
        part = folder / "checkpoint.part"
        torch.save(state | {"optimizer": self.optimizer.state_dict()}, part)
        part.replace(folder / "checkpoint.pt")
        self.model.save(folder / "average", self.average)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path)
        self.model.load(state["masters"])
        self.average, self.step = state["average"], state["step"]
        self.optimizer.load_state_dict(state["optimizer"])


def main() -> None:
    """Train, and measure on the held-out pairs at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wordnet", type=Path, help="its folder; without it nothing is made from the labelled pairs")
    parser.add_argument("--made", type=float, default=0.7, help="made pairs for each labelled one")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    pairs, held_out = read_labelled(arguments.labelled)
    model = CrossEncoder(arguments.model, dropout=arguments.dropout)
    model.net.train()
    learner = _Learner(model, arguments.rate, 0.98)
    checkpoint = arguments.out / "checkpoint.pt"
    if checkpoint.exists():
        learner.restore(checkpoint)
    examples = None
    if arguments.wordnet:
        texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
        examples = Examples(pairs, Lexicon(read_wordnet(arguments.wordnet), texts), arguments.made)
    print(f"{len(pairs)} pairs, {len(held_out)} held out, {arguments.steps} steps", flush=True)
    feed = batches(model, pairs, examples, arguments.size, arguments.seed + learner.step)
    started, losses = time.time(), []
    for batch in feed:
        progress = learner.step / arguments.steps
        if progress >= 1:
            break
        share = min(1, progress / 0.05) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * progress)))
        losses.append(learner.learn(batch, share))
        if learner.step % 50 == 0:
            spent = (time.time() - started) / len(losses)
            loss = sum(losses[-50:]) / 50
            print(f"{learner.step}/{arguments.steps} loss {loss:.3f} {spent:.2f} s a step", flush=True)
        if learner.step % _SAVED_EVERY == 0:
            learner.save(arguments.out)
    learner.save(arguments.out)
    model.load(learner.average)
    print(f"average: area {area(model.score(held_out), [pair.same for pair in held_out]):.4f}", flush=True)


if __name__ == "__main__":
    main()
