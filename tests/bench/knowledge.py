"""What the benchmarks learn: the demonstration's real knowledge, and texts made from it."""

import random

from singularity_lab.demo.catalog import Artifact, artifacts

__all__ = ["Artifact", "artifacts", "generated"]


def generated(texts: list[Artifact], number: int) -> list[Artifact]:
    """Return `number` artifacts of about 600 bytes, each from three of `texts`; always the same."""
    chance = random.Random(number)
    sources = (chance.choices(texts, k=3) for _ in range(number))
    return [
        {
            "kind": "pattern",
            "name": f"generated {n}",
            "summary": f"{parts[0]['summary']} ({n})",
            "content": {
                "steps": [part["summary"] for part in parts],
                "example": parts[1]["content"],
                "number": n,
            },
        }
        for n, parts in enumerate(sources, start=1)
    ]
