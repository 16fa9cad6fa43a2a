"""What the search benchmark measures with: metrics of rankings, their intervals, and queries made of names."""

import numpy as np
import pytest
from tests.bench.search.documents import Document, Query, summary_queries
from tests.bench.search.metrics import difference, error_removed, mean, measure, ratio
from tests.bench.search.names import name_queries

DOCUMENTS = [
    Document("python", name, "", "")
    for name in ("shutil.copy_file_tree", "os.path.realpath", "http.client.HTTPConnection", "zlib.decompress")
]


def test_a_ranking_is_measured_by_its_first_hit_and_all_of_them() -> None:
    measures = measure(
        [["a", "x", "b"], ["x", "a"], ["x"]], [frozenset("ab"), frozenset("a"), frozenset("a")]
    )
    assert measures.mrr.tolist() == [1, 0.5, 0]
    assert measures.recall.tolist() == [1, 1, 0]
    both, second = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)), 1 / np.log2(3)
    assert measures.ndcg == pytest.approx([both, second, 0])


def test_what_is_behind_the_tenth_place_does_not_count() -> None:
    measures = measure([["x"] * 10 + ["a"]], [frozenset("a")])
    assert (measures.mrr[0], measures.recall[0], measures.ndcg[0]) == (0, 0, 0)


def test_more_right_answers_than_places_can_all_be_found() -> None:
    answers = frozenset(map(str, range(20)))
    measures = measure([[str(n) for n in range(10)]], [answers])
    assert (measures.mrr[0], measures.recall[0], measures.ndcg[0]) == (1, 1, 1)


def test_the_interval_of_a_mean_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.2, 400)
    found = mean(values)
    half_width = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx(
        [values.mean() - half_width, values.mean() + half_width], abs=0.002
    )


def test_two_rankers_are_compared_query_by_query() -> None:
    theirs = np.asarray([0.0, 1.0] * 100)
    apart = difference(theirs * 0.9 + 0.05, theirs - 0.1)
    # unpaired, the interval would be four times as wide
    assert apart.value == pytest.approx(0.1)
    assert apart.high - apart.low < 0.02


def test_ratio_and_error_removed_are_those_of_the_means() -> None:
    theirs, ours = np.asarray([0.0, 1.0, 0.5, 0.5] * 20), np.asarray([0.2, 1.0, 0.7, 0.5] * 20)
    assert ratio(ours, theirs).value == pytest.approx(1.2)
    removed = error_removed(ours, theirs)
    assert removed.value == pytest.approx(0.2)
    assert removed.low <= removed.value <= removed.high


def test_the_sets_of_name_queries_are_always_the_same() -> None:
    made = name_queries(DOCUMENTS, each=5, seed=1)
    assert list(made) == ["identifiers", "half names", "typing errors"]
    assert made == name_queries(DOCUMENTS, each=5, seed=1)
    assert all(len({query.text for query in queries}) == len(queries) == 5 for queries in made.values())


def test_an_identifier_asks_for_who_has_it_as_its_end() -> None:
    names = {document.id for document in DOCUMENTS}
    for query in name_queries(DOCUMENTS, each=8, seed=2)["identifiers"]:
        assert query.answers == {
            name for name in names if f".{name.partition(':')[2]}".endswith(f".{query.text}")
        }


def test_half_a_name_is_shorter_and_its_parts_are_in_the_answers() -> None:
    for query in name_queries(DOCUMENTS, each=8, seed=3)["half names"]:
        for answer in query.answers:
            assert len(query.text) < len(answer.partition(":")[2])
            assert all(part.lower() in answer.lower() for part in query.text.split("_"))


def test_a_typing_error_is_no_name() -> None:
    names = {document.name.lower() for document in DOCUMENTS}
    ends = {name.rpartition(".")[2] for name in names}
    queries = name_queries(DOCUMENTS, each=8, seed=4)["typing errors"]
    assert queries
    for query in queries:
        assert query.text.lower() not in names | ends
        assert len(query.answers) == 1


def test_a_summary_asks_for_all_documents_that_have_it_unless_these_are_many() -> None:
    shared = [Document("python", f"a{n}", "Return the size.", "size() of it") for n in range(2)]
    common = [Document("python", f"b{n}", "Return the name.", "name() of it") for n in range(6)]
    short = [Document("python", "c", "Return the time.", "now")]
    queries = summary_queries([*shared, *common, *short], least_rest=3)
    assert queries == [Query("Return the size.", frozenset({"python:a0", "python:a1"}))]
