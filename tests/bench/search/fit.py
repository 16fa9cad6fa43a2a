"""Fits the constants of relevance to the fit halves of the queries, by coordinate descent."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
from rich.table import Table
from tests.bench.report import console, progress, say
from tests.bench.search.calibration import Calibration, best_bound, calibrate
from tests.bench.search.corpora import query_sets
from tests.bench.search.relevance import Candidates, Constants, candidates, check_formula, in_force

from singularity_lab import Lab

CANDIDATES = 200
# Steps of the coordinates and how far they are tried to both sides.
_STEPS = ((0.05, 1.0), (0.01, 0.05))
_WORTHWHILE = 1e-9


def fit() -> None:
    """Print the constants that are best on the fit halves, beside those in force."""
    explained: dict[str, Candidates] = {}
    calibrations: list[Calibration] = []
    with Lab() as lab:
        sets = [queries.fit_half() for queries in query_sets(lab)]
        present = in_force(sets[0].corpus.database)
        for queries in sets:
            progress(f"{queries.name}: {len(queries.queries):,} queries of the fit half")
            explained[queries.name] = candidates(queries, CANDIDATES)
            check_formula(explained[queries.name], present)
            calibrations.append(calibrate(queries, explained[queries.name]))
    fitted = descend(list(explained.values()), present)
    _print_constants(present, fitted)
    _print_objective(explained, present, fitted)
    say(
        f"\nwith those in force, the best bound between right and foreign rows is {best_bound(calibrations):.2f}"
    )


def descend(explained: Sequence[Candidates], start: Constants) -> Constants:
    """Change one constant at a time to what is best, until nothing is better: in coarse steps, then in fine ones."""
    best, reached = start, objective(explained, start)
    for step, reach in _STEPS:
        improved = True
        while improved:
            improved = False
            for name in asdict(start):
                for value in _around(getattr(best, name), step, reach):
                    tried = replace(best, **{name: value})
                    worth = objective(explained, tried)
                    if worth > reached + _WORTHWHILE:
                        best, reached, improved = tried, worth, True
    return best


def objective(explained: Sequence[Candidates], constants: Constants) -> float:
    """Return the mean over the sets of MRR@10."""
    return float(np.mean([one.reciprocal_ranks(constants).mean() for one in explained]))


def _around(value: float, step: float, reach: float) -> list[float]:
    number = round(reach / step)
    values = (round(value + n * step, 6) for n in range(-number, number + 1))
    return [value for value in values if 0 <= value <= 1]


def _print_constants(present: Constants, fitted: Constants) -> None:
    table = Table("constant", "in force", "fitted", box=None, pad_edge=False)
    for name, value in asdict(present).items():
        table.add_row(name.replace("_", " "), f"{value:.2f}", f"{getattr(fitted, name):.2f}")
    say("")
    console.print(table)


def _print_objective(explained: Mapping[str, Candidates], present: Constants, fitted: Constants) -> None:
    table = Table("MRR@10 on the fit half", "queries", "in force", "fitted", box=None, pad_edge=False)
    for name, one in explained.items():
        means = [one.reciprocal_ranks(constants).mean() for constants in (present, fitted)]
        table.add_row(name, f"{len(one.one_word):,}", *(f"{value:.4f}" for value in means))
    means = [objective(list(explained.values()), constants) for constants in (present, fitted)]
    table.add_row("mean of the sets", "", *(f"{value:.4f}" for value in means))
    say("")
    console.print(table)
