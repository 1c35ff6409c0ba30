"""How many drafted tokens a decode step should check: what they cost beside what they save."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["DraftLength", "StepCost"]


class StepCost:
    """How long a decode step takes by its number of rows, learned from the steps themselves.

    llama.cpp's kernels work in tiles: on one processor eight rows cost less than seven, and sixteen the same as twelve.
    So each count is learned by itself, and guessed from its neighbours only until it has been seen. Where nothing else
    is known, each further row is taken to cost 0.6 of the first.

    Example:
        >>> cost = StepCost()
        >>> cost.observe(1, 0.010), cost.observe(3, 0.014)
        (None, None)
        >>> round(cost.predict(2), 3)
        0.012
    """

    _FURTHER = 0.6
    _WEIGHT = 0.1
    """Of a new observation."""
    _SURE = 3
    """Observations of which the least counts: what slows a step by chance seldom does so three times."""
    _EXACT = 64
    """Rows up to which each count stands for itself; above it, sixteen share a value."""
    _FORGET = 1024
    """Observations after which a count that did not come up is guessed again: it may have been slow by chance."""

    def __init__(self) -> None:
        self._known: dict[int, float] = {}
        self._times: dict[int, int] = {}
        self._order: list[int] = []
        self._fresh: set[int] = set()
        self._observed = 0

    def observe(self, rows: int, seconds: float) -> None:
        """Take the time of one step."""
        if rows < 1 or seconds <= 0:
            return
        rows, seconds = self._bucket(rows), max(seconds, 1e-9)  # what is divided by must stay a number
        times = self._times[rows] = self._times.get(rows, 0) + 1
        known = self._known.get(rows)
        if known is None:
            self._known[rows] = seconds
            self._order = sorted(self._known)
        elif times <= self._SURE:
            self._known[rows] = min(known, seconds)
        else:
            self._known[rows] = known + (min(seconds, 2 * known) - known) * self._WEIGHT
        self._fresh.add(rows)
        self._observed += 1
        if self._observed % self._FORGET == 0:
            self._known = {rows: self._known[rows] for rows in self._fresh}
            self._times = {rows: self._times[rows] for rows in self._fresh}
            self._order, self._fresh = sorted(self._known), set()

    def predict(self, rows: int) -> float:
        """Seconds that a step of so many rows takes; before the first observation, in units of one row's step."""
        rows = self._bucket(rows)
        known = self._known.get(rows)
        return known if known is not None else self._guess(rows)

    def _bucket(self, rows: int) -> int:
        return rows if rows <= self._EXACT else rows // 16 * 16

    def _default(self, rows: int) -> float:
        return 1 + self._FURTHER * (rows - 1)

    def _guess(self, rows: int) -> float:
        order, known = self._order, self._known
        if not order:
            return self._default(rows)
        at = bisect_left(order, rows)
        if at == 0:
            return known[order[0]] * self._default(rows) / self._default(order[0])
        low = order[at - 1]
        high = order[at] if at < len(order) else None
        if high is not None and high <= 2 * low + 4:
            return known[low] + (known[high] - known[low]) * (rows - low) / (high - low)
        # The next count is too far away to say much; what rows have cost so far says more.
        if low > order[0]:
            further = max(0.0, (known[low] - known[order[0]]) / (low - order[0]))
        else:
            further = known[low] * self._FURTHER / self._default(low)
        guess = known[low] + further * (rows - low)
        return guess if high is None else min(guess, known[high])


class DraftLength:
    """Chooses how long a request's next draft is; one per request and source of drafts.

    Takes each drafted token to be accepted with one probability, estimated from the request's own drafts, the newest
    counting most. A draft of k tokens then brings (1 - a^(k+1)) / (1 - a) tokens in one step, and the k is taken that
    makes the step's tokens per second most (Y. Leviathan et al., "Fast Inference from Transformers via Speculative
    Decoding", 2023, arXiv 2211.17192). Where no draft pays, a short one is tried now and then to see whether that has
    changed, and half as often after each time that it has not.

    Args:
        accepted: Drafted tokens that count as accepted before there are any: how far the source can be trusted.

    Example:
        >>> length, cost = DraftLength(), StepCost()
        >>> for rows in range(1, 10):
        ...     cost.observe(rows, 0.010)
        >>> length.choose(8, 1, cost)
        7
    """

    _ACCEPTED, _REFUSED = 1.5, 0.5
    """Pseudo-counts in place of earlier drafts: words that agreed twice mostly go on to agree."""
    _DECAY = 0.85
    _MARGIN = 1.02
    """What a draft must bring over none: costs are not known better."""
    _TILE = 4
    """A step has a multiple of so many rows: llama.cpp's kernels take them together, and it keeps the graph of a step
    for the next one of the same size, where building it anew costs as much as a row."""
    _PAUSE, _LONGEST_PAUSE = 4, 256
    """Steps between two trials where drafts do not pay, at first and at most."""

    def __init__(self, accepted: float = _ACCEPTED) -> None:
        self._accepted, self._refused = accepted, self._REFUSED
        self._pause, self._waited, self._trial = self._PAUSE, 0, False

    def choose(self, available: int, rows: int, cost: StepCost) -> int:
        """Tokens to draft, 0 to `available`.

        Args:
            available: Tokens that could be drafted.
            rows: Rows that the step has already, this request's own too; each counts as a token that it brings.
            cost: What steps take.
        """
        if available <= 0:
            return 0
        best = self._best(available, max(rows, 1), cost)
        self._trial = not best and self._waited >= self._pause
        if best or self._trial:
            self._waited = 0
            return best or min(self._fill(max(rows, 1)), available)
        self._waited += 1
        return 0

    def learn(self, drafted: int, accepted: int) -> None:
        """Take the outcome of a draft."""
        if drafted <= 0:
            return
        self._accepted = self._accepted * self._DECAY + accepted
        # After the first refused token the rest of a draft says nothing.
        self._refused = self._refused * self._DECAY + (accepted < drafted)
        if not self._trial:
            return
        if accepted:
            self._pause = max(self._pause // 2, self._PAUSE)
            self._waited = self._pause  # where a quotation begins, the next trial shows it at once
        else:
            self._pause = min(self._pause * 2, self._LONGEST_PAUSE)

    def _best(self, available: int, rows: int, cost: StepCost) -> int:
        """The draft with the most tokens per second; 0 where none is better than none."""
        chance = self._accepted / (self._accepted + self._refused)
        best, rate = 0, rows / cost.predict(rows) * self._MARGIN
        for drafted in range(self._fill(rows), available + 1, self._TILE):
            gained = drafted if chance == 1 else chance * (1 - chance**drafted) / (1 - chance)
            tokens = rows + gained
            here = tokens / cost.predict(rows + drafted)
            if here > rate:
                best, rate = drafted, here
        return best

    def _fill(self, rows: int) -> int:
        """The shortest draft after which the step is whole tiles."""
        return self._TILE - rows % self._TILE
