"""Quality: how far up recall has what is right, beside the ways to search that anybody could use instead of it.

Only the report half of each set of queries is measured, which `fit` does not see.
"""

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.bench.report import console, progress, say
from tests.bench.search.calibration import THRESHOLDS, Calibration, calibrate
from tests.bench.search.corpora import NAME_SETS, OTHER_WORDS, QuerySet, query_sets
from tests.bench.search.metrics import (
    DEPTH,
    Interval,
    Measures,
    difference,
    error_removed,
    mean,
    measure,
    ratio,
)
from tests.bench.search.plot import plot
from tests.bench.search.rankers import BASELINES, Ranker, recall, recall_unbounded
from tests.bench.search.relevance import candidates, check_formula, in_force

from singularity_lab import Lab
from singularity_lab.postgres import bin_folder

RECALL, UNBOUNDED = "recall", "recall, every document scored"
METRICS = {"mrr": f"MRR@{DEPTH}", "recall": f"recall@{DEPTH}", "ndcg": f"nDCG@{DEPTH}"}
NOT_WORSE = -0.01
ERROR_REMOVED = 0.2
OTHER_WORDS_RATIO = 1.2


@dataclass(frozen=True)
class Outcome:
    """What one set has shown: the measures by ranker, and the relevance of best rows."""

    queries: QuerySet
    measures: Mapping[str, Measures]
    calibration: Calibration

    @property
    def name(self) -> str:
        """The set's name."""
        return self.queries.name

    def best_variant(self, baseline: str) -> str:
        """Return the variant of a baseline that is best here."""
        return max(BASELINES[baseline], key=lambda variant: float(self.measures[variant].mrr.mean()))

    def best_baseline(self) -> str:
        """Return the variant of any baseline that is best here."""
        variants = map(self.best_variant, BASELINES)
        return max(variants, key=lambda variant: float(self.measures[variant].mrr.mean()))

    def against(self, other: str) -> Interval:
        """Return the difference of recall's MRR@10 and another ranker's."""
        return difference(self.measures[RECALL].mrr, self.measures[other].mrr)

    def ratio_to_bm25(self) -> Interval:
        """Return the ratio of recall's MRR@10 to bm25s's."""
        return ratio(self.measures[RECALL].mrr, self.measures[self.best_variant("bm25s")].mrr)

    def error_removed(self) -> Interval:
        """Return the share of bm25s's error that recall does not make."""
        return error_removed(self.measures[RECALL].mrr, self.measures[self.best_variant("bm25s")].mrr)


def quality(plots: Path) -> None:
    """Measure every ranker on every set, print the tables and draw the plot."""
    server = subprocess.check_output([bin_folder() / "postgres", "--version"], text=True).strip()
    say(f"{server}, Python {platform.python_version()}")
    with Lab() as lab:
        sets = [queries.report_half() for queries in query_sets(lab)]
        say(f"constants of relevance in force: {in_force(sets[0].corpus.database)}")
        outcomes = _measure_all(sets)
    _print_measures(outcomes)
    _print_comparison(outcomes)
    _print_price_of_bound(outcomes)
    _print_calibration(outcomes)
    say(f"plot: {plot(plots, *_bars(outcomes))}")
    _print_owed(outcomes)


def _measure_all(sets: Sequence[QuerySet]) -> list[Outcome]:
    outcomes = []
    for corpus, some in groupby(sets, key=lambda queries: queries.corpus):
        own = list(some)
        progress(
            f"{corpus.name}: {len(corpus.documents):,} documents, {sum(len(s.queries) for s in own):,} queries"
        )
        calibrations = [_calibrate(one) for one in own]
        measured: dict[str, dict[str, Measures]] = {queries.name: {} for queries in own}
        for name, ranker in _rankers().items():
            search = ranker(corpus)
            for queries in own:
                measured[queries.name][name] = measure(search(queries.texts), queries.answers)
        outcomes += [
            Outcome(one, measured[one.name], shown) for one, shown in zip(own, calibrations, strict=True)
        ]
    return outcomes


def _rankers() -> dict[str, Ranker]:
    baselines = {name: ranker for variants in BASELINES.values() for name, ranker in variants.items()}
    return {RECALL: recall, UNBOUNDED: recall_unbounded, **baselines}


def _calibrate(queries: QuerySet) -> Calibration:
    explained = candidates(queries, DEPTH)
    check_formula(explained, in_force(queries.corpus.database))
    return calibrate(queries, explained)


def _print_measures(outcomes: Sequence[Outcome]) -> None:
    for key, title in METRICS.items():
        table = _table(title, "queries", *_rankers())
        for outcome in outcomes:
            best = {RECALL, UNBOUNDED, *map(outcome.best_variant, BASELINES)}
            cells = [
                f"{'' if name in best else '('}{getattr(one, key).mean():.3f}{'' if name in best else ')'}"
                for name, one in outcome.measures.items()
            ]
            table.add_row(outcome.name, f"{len(outcome.queries.queries):,}", *cells)
        _print(table)
    say("(in parentheses: the variant of a baseline whose MRR@10 is worse; the other is the baseline)")


def _print_comparison(outcomes: Sequence[Outcome]) -> None:
    table = _table(
        f"{METRICS['mrr']} with 95 % intervals",
        "best baseline",
        "recall - best baseline",
        "recall / bm25s",
        "bm25s's error removed",
    )
    for outcome in outcomes:
        best = outcome.best_baseline()
        removed = _text(outcome.error_removed()) if outcome.name in NAME_SETS else ""
        table.add_row(
            outcome.name, best, _signed(outcome.against(best)), _text(outcome.ratio_to_bm25()), removed
        )
    _print(table)


def _print_price_of_bound(outcomes: Sequence[Outcome]) -> None:
    table = _table("the price of the bound", RECALL, UNBOUNDED, "difference")
    for outcome in outcomes:
        means = [f"{outcome.measures[name].mrr.mean():.4f}" for name in (RECALL, UNBOUNDED)]
        table.add_row(outcome.name, *means, _signed(outcome.against(UNBOUNDED), digits=4))
    _print(table)


def _print_calibration(outcomes: Sequence[Outcome]) -> None:
    say("\nright best rows with at least this relevance / best rows of the kind not asked about with less")
    table = _table("relevance", *(outcome.name for outcome in outcomes), "mean")
    for threshold in THRESHOLDS:
        pairs = [(o.calibration.kept(threshold), o.calibration.held_back(threshold)) for o in outcomes]
        pairs.append(
            (sum(kept for kept, _ in pairs) / len(pairs), sum(below for _, below in pairs) / len(pairs))
        )
        table.add_row(f"{threshold:.1f}", *(f"{kept:.2f} / {below:.2f}" for kept, below in pairs))
    _print(table)


def _print_owed(outcomes: Sequence[Outcome]) -> None:
    table = _table("owed", "measured", "at least", "")
    for outcome in outcomes:
        low = outcome.against(outcome.best_baseline()).low
        table.add_row(
            f"{outcome.name}: lower end of recall - best baseline",
            f"{low:+.3f}",
            f"{NOT_WORSE:+.3f}",
            _judged(low >= NOT_WORSE),
        )
    for outcome in outcomes:
        if outcome.name in NAME_SETS:
            removed = outcome.error_removed().value
            table.add_row(
                f"{outcome.name}: share of bm25s's error removed",
                f"{removed:.3f}",
                f"{ERROR_REMOVED:.3f}",
                _judged(removed >= ERROR_REMOVED),
            )
        if outcome.name == OTHER_WORDS:
            times = outcome.ratio_to_bm25().value
            table.add_row(
                f"{outcome.name}: recall / bm25s",
                f"{times:.3f}",
                f"{OTHER_WORDS_RATIO:.3f}",
                _judged(times >= OTHER_WORDS_RATIO),
            )
    _print(table)


def _bars(outcomes: Sequence[Outcome]) -> tuple[list[str], dict[str, list[Interval]]]:
    """The names of the sets, and for each ranker MRR@10 by set; of a baseline, its better variant."""
    rankers = {RECALL: [mean(outcome.measures[RECALL].mrr) for outcome in outcomes]}
    for baseline in BASELINES:
        rankers[baseline] = [
            mean(outcome.measures[outcome.best_variant(baseline)].mrr) for outcome in outcomes
        ]
    return [outcome.name for outcome in outcomes], rankers


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title == titles[0] else "right")
    return table


def _print(table: Table) -> None:
    wide = Console(highlight=False, width=max(console.width, 190))
    wide.print()
    wide.print(table)


def _signed(value: Interval, digits: int = 3) -> str:
    return f"{value.value:+.{digits}f} ({value.low:+.{digits}f} to {value.high:+.{digits}f})"


def _text(value: Interval) -> str:
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def _judged(met: bool) -> str:
    return "met" if met else "missed"
