"""The plot of MRR@10 by set and ranker."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tests.bench.search.metrics import DEPTH, Interval

_GROUP_WIDTH = 0.8


def plot(folder: Path, sets: Sequence[str], rankers: Mapping[str, Sequence[Interval]]) -> Path:
    """Draw groups of bars with their 95 % intervals into a PNG file in the folder; return its path."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(sets))
    width = _GROUP_WIDTH / len(rankers)
    for n, (name, intervals) in enumerate(rankers.items()):
        values = np.asarray([one.value for one in intervals])
        ends = np.asarray([[one.value - one.low, one.high - one.value] for one in intervals]).T
        at = places + (n - (len(rankers) - 1) / 2) * width
        bars = axes.bar(at, values, width, yerr=ends, label=name, capsize=2, error_kw={"linewidth": 0.8})
        axes.bar_label(bars, labels=[f"{value:.2f}" for value in values], label_type="center", fontsize=7)
    axes.set_xticks(places, sets)
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"MRR@{DEPTH}, with 95 % intervals")
    axes.legend(ncols=len(rankers), loc="upper center", bbox_to_anchor=(0.5, 1.1), frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "search_quality.png"
    figure.savefig(path, dpi=150)
    return path
