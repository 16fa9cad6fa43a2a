"""Vectors: of the model and of one's own, in the index and not yet, and never compared across contracts."""

import json
import math
import random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.instance_relay import InstanceRelay
from tests.kit.queries import rows, value
from tests.kit.session import Session, refused
from tests.search.places import CONTRACT, Place, maintain

QUERY = "keep rain out with an umbrella"
INDEXED = "select indexed, count(*) as documents from {0}.document_vector group by 1"


def register(db: Session, name: str = "own/1", dimensions: int = 3, *, normalised: bool = False) -> str:
    """Register a contract of this name and dimensions."""
    db.value("select singularity.register_contract(%s, 'm', 'r', %s, %s)", [name, dimensions, normalised])
    return name


def axis(number: int, dimensions: int) -> str:
    """Return the unit vector along an axis."""
    return json.dumps([float(place == number) for place in range(dimensions)])


def by_vector(db: Session, embedding: str, contract: str = "own/1", **more: Any) -> list[tuple[str, Any]]:
    """Return names and similarities of what is nearest, for a query whose words say nothing."""
    found = db.rows(
        "select name, similarity from singularity.recall('zzzz', embedding => %s, contract => %s, "
        "min_similarity => %s, kind => %s)",
        [embedding, contract, more.get("min_similarity", 0.0), more.get("kind")],
    )
    return [(row["name"], row["similarity"]) for row in found]


class TestEmbed:
    """embed() and embed_many() in both extensions."""

    @given(
        texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=8)
    )
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_one_by_one_or_many_they_are_the_same_and_of_length_1(
        self, place: Place, texts: list[str]
    ) -> None:
        call = """
            select one.place, one.v = many.v or num_nulls(one.v, many.v) = 2 as same, vector_norm(one.v) as length
            from (
                select t.place, {0}.embed(t.text) as v from unnest(%s::text[]) with ordinality as t (text, place)
            ) as one
            full join unnest({0}.embed_many(%s::text[])) with ordinality as many (v, place) using (place)
        """
        found = rows(place.connection, call.format(place.schema), texts, texts)
        assert len(found) == len(texts)
        for row in found:
            assert row["same"]
            assert row["length"] is None or row["length"] == pytest.approx(1, abs=1e-5)
            assert (row["length"] is None) == (texts[row["place"] - 1] == "")

    def test_stored_vectors_have_length_1(self, place: Place) -> None:
        place.teach([{"kind": "k", "name": f"thing {n}", "content": f"{QUERY} {n}"} for n in range(40)])
        with place.database.connect_superuser() as superuser:
            norms = "select min(vector_norm(embedding)), max(vector_norm(embedding)) from {0}.document_vector"
            (lengths,) = rows(superuser, norms.format(place.schema))
            assert list(lengths.values()) == pytest.approx([1, 1], abs=1e-5)


def test_many_wait_for_the_index_and_are_found_at_once(place: Place) -> None:
    place.teach([{"kind": "k", "name": f"thing {n}", "content": f"number {n}"} for n in range(49)])
    place.teach([{"kind": "k", "name": "raincoat", "content": "waterproof garment"}])
    with place.database.connect_superuser() as superuser:

        def indexed() -> dict[bool, int]:
            return {row["indexed"]: row["documents"] for row in rows(superuser, INDEXED.format(place.schema))}

        assert indexed() == {False: 49, True: 1}
        query = "jacket for wet weather"
        first = place.found(query, min_similarity=0.0)[0]
        assert (first["name"], first["words"]) == ("raincoat", 0)
        nearest = place.found("thing", min_similarity=0.0, max_results=100)
        maintain(place)
        assert indexed() == {True: 50}
        assert place.found(query, min_similarity=0.0)[0] == first
        again = place.found("thing", min_similarity=0.0, max_results=100)
        assert {row["name"] for row in again} == {row["name"] for row in nearest}
        assert len(again) >= 49


class TestOwnVectors:
    """Vectors that their user gives, under a contract of his own."""

    def test_they_decide_and_the_models_are_not_compared(self, db: Session) -> None:
        register(db)
        for number, name in enumerate(("alpha", "beta", "gamma")):
            db.learn(name, QUERY, embedding=axis(number, 3), contract="own/1")
        db.learn("without", QUERY)
        for number, name in enumerate(("alpha", "beta", "gamma")):
            found = by_vector(db, axis(number, 3))
            assert found[0] == (name, pytest.approx(1))
            assert [similarity for other, similarity in found if other not in {name, "without"}] == [0, 0]
            assert all(similarity is None for other, similarity in found if other == "without")
        assert [row["similarity"] is not None for row in db.recall(QUERY)] == [True] * 4

    def test_contracts_of_the_same_dimensions_are_kept_apart(self, db: Session) -> None:
        register(db, "own/1", 256)
        register(db, "own/2", 256)
        db.learn("one", QUERY, embedding=axis(0, 256), contract="own/1")
        db.learn("two", QUERY, embedding=axis(0, 256), contract="own/2")
        db.learn("none", QUERY)
        for contract, expected in (("own/1", "one"), ("own/2", "two")):
            found = by_vector(db, axis(0, 256), contract, min_similarity=0.1)
            assert found == [(expected, pytest.approx(1))]
        model = db.value("select singularity.embed(%s)::text", [QUERY])
        assert by_vector(db, model, "own/1", min_similarity=0.3) == []
        near_model = dict(by_vector(db, model, CONTRACT))
        assert set(near_model) == {"one", "two", "none"}
        assert min(near_model.values()) > 0.5

    @pytest.mark.parametrize("indexed", [False, True])
    def test_many_are_found_before_and_after_they_are_indexed(self, db: Session, indexed: bool) -> None:
        register(db, "own/1", 60)
        chance = random.Random(1)
        vectors = [[chance.gauss(0, 1) for _ in range(60)] for _ in range(50)]
        given = {"kind": "k", "content": 1, "contract": "own/1"}
        db.learn_many([{**given, "name": f"thing {n}", "embedding": v} for n, v in enumerate(vectors)])
        if indexed:
            db.run("call singularity.maintain()")
            assert db.value("select singularity.ensure_indexes()") == 1
        for n in (0, 17, 49):
            for kind in (None, "k"):
                found = by_vector(db, json.dumps(vectors[n]), kind=kind)
                assert found[0] == (f"thing {n}", pytest.approx(1))

    def test_unchanged_content_keeps_its_vector_and_changed_content_drops_it(self, db: Session) -> None:
        register(db)
        db.learn("thing", "old", embedding=axis(0, 3), contract="own/1")
        db.learn("thing", "old")
        assert by_vector(db, axis(0, 3)) == [("thing", pytest.approx(1))]
        db.learn("thing", "old", summary="new summary", tags=["new"])
        assert by_vector(db, axis(0, 3)) == [("thing", pytest.approx(1))]
        versions = len(db.history("thing"))
        db.learn("thing", "old", embedding=axis(0, 3), contract="own/1")
        assert len(db.history("thing")) == versions
        db.learn("thing", "old", embedding=axis(1, 3), contract="own/1")
        assert by_vector(db, axis(1, 3)) == [("thing", pytest.approx(1))]
        db.learn("thing", "new")
        assert by_vector(db, axis(1, 3), min_similarity=0.1) == []
        db.learn("thing", "old")
        assert by_vector(db, axis(1, 3), min_similarity=0.1) == []

    def test_a_vector_of_another_contract_replaces_the_old_one(self, db: Session) -> None:
        register(db, "own/1")
        register(db, "own/2")
        db.learn("thing", "x", embedding=axis(0, 3), contract="own/1")
        db.learn("thing", "x", embedding=axis(0, 3), contract="own/2")
        assert by_vector(db, axis(0, 3), "own/1", min_similarity=0.1) == []
        assert by_vector(db, axis(0, 3), "own/2") == [("thing", pytest.approx(1))]

    def test_it_does_not_leave_the_instance(self, db: Session, online: InstanceRelay) -> None:
        register(db)
        db.learn("thing", "x", embedding=axis(0, 3), contract="own/1")
        (message,) = online.contributions()
        assert "embedding" not in json.dumps(message.body)
        assert "own/1" not in json.dumps(message.body)

    def test_the_authority_itself_embeds_what_is_contributed(self, authority_place: Place) -> None:
        authority_place.teach([{"kind": "k", "name": "raincoat", "content": "waterproof garment"}])
        first = authority_place.found("jacket for wet weather", min_similarity=0.0)[0]
        assert first["name"] == "raincoat"
        assert first["similarity"] > 0.2

    def test_what_the_model_makes_is_made_here(self, db: Session) -> None:
        vector = db.value("select singularity.embed('an umbrella')::text")
        with refused(db, "22023", "are made here, from the text", "register a contract"):
            db.learn("thing", "x", embedding=vector, contract=CONTRACT)

    @pytest.mark.parametrize("size", [1e30, 3e38, 1e-30, 1e-44])
    def test_a_score_is_a_number_whatever_the_length(self, db: Session, size: float) -> None:
        register(db)
        db.learn("small", "x", embedding=f"[{size},0,0]", contract="own/1")
        db.learn("usual", "x", embedding="[1,0,0]", contract="own/1")
        for query in (f"[{size},0,0]", "[1,0,0]"):
            for row in db.rows(
                "select name, score, similarity from singularity.recall('zzzz', embedding => %s, contract => 'own/1')",
                [query],
            ):
                assert 0 <= row["score"] <= 1
                assert row["similarity"] == pytest.approx(1)


class TestErrors:
    """What is no vector of its contract is refused, with what is wrong and what to do."""

    WRONG: tuple[tuple[str, str | None, str, str, str], ...] = (
        (
            "[1,0]",
            "own/1",
            "22023",
            "a vector of contract 'own/1' has 3 dimensions, this one 2",
            "Pass the vector",
        ),
        ("[0,0,0]", "own/1", "22023", "a vector of length 0 has no direction", "Pass null"),
        (
            "[2,0,0]",
            "unit/1",
            "22023",
            "a vector of contract 'unit/1' has length 1, this one 2",
            "l2_normalize()",
        ),
        ("[1,0,0]", "none/1", "22023", "there is no contract 'none/1'", "register_contract()"),
        ("[1,0,0]", None, "22004", "a vector needs its contract", "Pass contract =>"),
    )

    @pytest.mark.parametrize(("embedding", "contract", "sqlstate", "message", "hint"), WRONG)
    def test_learn_learn_many_and_recall(
        self, db: Session, embedding: str, contract: str | None, sqlstate: str, message: str, hint: str
    ) -> None:
        register(db)
        register(db, "unit/1", normalised=True)
        with refused(db, sqlstate, message, hint):
            db.learn("thing", "x", embedding=embedding, contract=contract)
        good = {"kind": "k", "name": "good", "content": 1}
        wrong = {**good, "name": "wrong", "embedding": json.loads(embedding), "contract": contract}
        with refused(db, sqlstate, f"element 1: {message}", hint):
            db.learn_many([good, wrong])
        with refused(db, sqlstate, message, hint):
            db.recall("thing", embedding=embedding, contract=contract)
        with refused(db, sqlstate, message, hint):
            db.call("explain_recall", query="thing", embedding=embedding, contract=contract)

    @pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
    def test_a_number_that_is_none(self, db: Session, number: str) -> None:
        register(db)
        with pytest.raises(psycopg.errors.DataException, match=r"(?i)nan|infinit") as caught:
            db.learn("thing", "x", embedding=f"[{float(number)},0,0]", contract="own/1")
        assert caught.value.diag.sqlstate == "22000"
        assert db.lookup("thing") is None

    @pytest.mark.parametrize(
        "embedding",
        ["x", 1, {"a": 1}, True, [], ["x"], [None], [[1, 0, 0]], [1, 0, True], {"0": 1}],
    )
    def test_learn_many_with_what_is_no_vector(self, db: Session, embedding: object) -> None:
        register(db)
        good = {"kind": "k", "name": "good", "content": 1}
        with refused(db, "22023", "element 1: ", "Elements are counted from 0"):
            db.learn_many([good, {**good, "embedding": embedding, "contract": "own/1"}])

    @pytest.mark.parametrize("number", ["1e39", "1e400", "-1e39"])
    def test_learn_many_with_a_number_too_large(self, db: Session, number: str) -> None:
        register(db)
        element = (
            f'{{"kind": "k", "name": "n", "content": 1, "contract": "own/1", "embedding": [1, {number}, 0]}}'
        )
        with refused(db, "22023", "element 0: embedding is not a vector", "finite numbers"):
            db.run("select singularity.learn_many(%s)", [f"[{element}]"])

    def test_learn_many_takes_null_and_a_vector(self, db: Session) -> None:
        register(db)
        known = {"kind": "k", "content": 1, "contract": "own/1"}
        given = [
            {**known, "name": "none", "embedding": None},
            {**known, "name": "one", "embedding": [0, 0.5, 0]},
        ]
        assert db.learn_many(given) == 2
        assert by_vector(db, "[0,1,0]", min_similarity=0.1) == [("one", pytest.approx(1))]

    @pytest.mark.parametrize(
        ("changed", "value_now"),
        [("model", "other"), ("revision", "other"), ("dimensions", 4), ("normalised", True)],
    )
    def test_a_contract_with_another_meaning(self, place: Place, changed: str, value_now: object) -> None:
        meaning = {"name": "own/1", "model": "m", "revision": "r", "dimensions": 3, "normalised": False}
        call = f"select {place.schema}.register_contract(%s, %s, %s, %s, %s)"
        assert value(place.connection, call, *meaning.values()) == "own/1"
        assert value(place.connection, call, *meaning.values()) == "own/1"
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            value(place.connection, call, *{**meaning, changed: value_now}.values())
        told = caught.value.diag
        assert told.message_primary == "contract 'own/1' is known with another meaning"
        assert "model 'm', revision 'r', 3 dimensions" in str(told.message_detail)
        assert "new name" in str(told.message_hint)

    def test_the_current_contract_cannot_get_another_meaning(self, place: Place) -> None:
        for _ in range(2):
            with pytest.raises(psycopg.errors.UniqueViolation):
                value(
                    place.connection,
                    f"select {place.schema}.register_contract(%s, 'm', 'r', 256, true)",
                    CONTRACT,
                )
            place.teach([{"kind": "k", "name": "x", "content": 1}])

    @pytest.mark.parametrize(
        ("arguments", "sqlstate", "message"),
        [
            (("Own", "m", "r", 3, True), "22023", "contract name 'Own' is not valid"),
            (("", "m", "r", 3, True), "22023", "contract name '' is not valid"),
            (("a" * 101, "m", "r", 3, True), "22023", "is not valid"),
            (("own/1'; --", "m", "r", 3, True), "22023", "is not valid"),
            (("own/1\n", "m", "r", 3, True), "22023", "is not valid"),
            (("own/1", "m", "r", 0, True), "22023", "has 0 dimensions"),
            (("own/1", "m", "r", 2001, True), "22023", "has 2001 dimensions"),
            (("own/1", None, "r", 3, True), "22004", "a contract needs"),
            (("own/1", "m", "r" * 513, 3, True), "54000", "longer than 512 bytes"),
        ],
    )
    def test_a_contract_that_is_not_valid(
        self, place: Place, arguments: tuple[object, ...], sqlstate: str, message: str
    ) -> None:
        with pytest.raises(psycopg.Error) as caught:
            value(
                place.connection, f"select {place.schema}.register_contract(%s, %s, %s, %s, %s)", *arguments
            )
        assert caught.value.diag.sqlstate == sqlstate
        assert message in str(caught.value.diag.message_primary)

    def test_2000_dimensions_can_be_stored_indexed_and_found(self, db: Session) -> None:
        register(db, "own/1", 2000, normalised=True)
        given = json.dumps([1 / math.sqrt(2000)] * 2000)
        db.learn("thing", "x", embedding=given, contract="own/1")
        db.learn("other", "x", embedding=axis(7, 2000), contract="own/1")
        assert db.value("select singularity.ensure_indexes()") == 1
        assert by_vector(db, given)[0] == ("thing", pytest.approx(1, abs=1e-5))
