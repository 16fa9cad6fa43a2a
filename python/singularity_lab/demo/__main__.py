"""Runs the demonstration: python -m singularity_lab.demo [--keep]."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from singularity_lab.demo.directions import directions
from singularity_lab.demo.scene import open_scene
from singularity_lab.demo.screen import NotObserved, Screen
from singularity_lab.demo.steps import SET_UP, STEPS
from singularity_lab.demo.story import Story
from singularity_lab.lab import Lab
from singularity_lab.process import forget_foreign_servers


@click.command()
@click.option(
    "--keep", is_flag=True, help="Leave everything running until Ctrl-C, and say how to look around."
)
def main(keep: bool) -> None:
    """Show two instances and an authority sharing real knowledge over NATS, and living through an outage.

    Everything runs in throwaway servers and is gone afterwards. Exits with 1 when a step was not observed.
    """
    forget_foreign_servers()
    screen = Screen([SET_UP, *(title for title, _ in STEPS)])
    try:
        with Lab() as lab, _deaf_after_interrupt():
            _run(lab, screen, keep)
    except NotObserved:
        sys.exit(1)
    except KeyboardInterrupt:
        screen.say("Interrupted: everything was stopped and removed.")
        sys.exit(128 + signal.SIGINT)


def _run(lab: Lab, screen: Screen, keep: bool) -> None:
    with ExitStack() as stack:
        try:
            with screen.step(lab.logs) as step:
                scene = stack.enter_context(open_scene(lab, step))
            story = Story(**vars(scene))
            for _, tell in STEPS:
                with screen.step(lab.logs) as step:
                    tell(story, step)
        except NotObserved:
            screen.table()
            raise
        screen.table()
        screen.say(story.summary())
        if keep:
            screen.say(directions(scene, os.getpid()))
            _wait_for_the_end()
            screen.say("Stopping everything.")


def _wait_for_the_end() -> None:
    """Wait for Ctrl-C or SIGTERM, which the lab turns into SystemExit: the wished end, so no failure."""
    try:
        signal.pause()
    except (KeyboardInterrupt, SystemExit):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _deaf_after_interrupt() -> Iterator[None]:
    """After one Ctrl-C, let a second one not disturb the clearing up."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


if __name__ == "__main__":
    main()
