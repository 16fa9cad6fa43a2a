"""The command `singularity-bridge`."""

import asyncio
import functools
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from singularity_bridge import VERSION, log, supervise
from singularity_bridge.check import check
from singularity_bridge.errors import FatalError
from singularity_bridge.settings import DEFAULT_NATS_URL, Settings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="singularity-bridge")
def main() -> None:
    """Carry messages between a PostgreSQL database with singularity or centralcloud, and NATS."""


def _connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what to connect to, and hand them over as Settings."""

    @click.option(
        "--dsn", default="", help="Connection string of the database; libpq's PG* variables work too."
    )
    @click.option(
        "--nats", envvar="NATS_URL", default=DEFAULT_NATS_URL, show_default=True, show_envvar=True,
        help="URLs of NATS servers, separated by commas; tls:// demands TLS.",
    )  # fmt: skip
    @click.option("--creds", envvar="NATS_CREDS", show_envvar=True, type=_FILE, help="NATS credentials file.")
    @click.option("--nkey", envvar="NATS_NKEY", show_envvar=True, type=_FILE, help="File with an nkey seed.")
    @click.option(
        "--tls-ca", envvar="NATS_CA", show_envvar=True, type=_FILE,
        help="Certificates that the NATS server's must be signed by; demands TLS.",
    )  # fmt: skip
    @click.option(
        "--tls-cert", envvar="NATS_CERT", show_envvar=True, type=_FILE,
        help="Certificate to show to a NATS server that wants one (mutual TLS); demands TLS.",
    )  # fmt: skip
    @click.option(
        "--tls-key", envvar="NATS_KEY", show_envvar=True, type=_FILE, help="Key of that certificate."
    )
    @click.option("--extension", help="singularity or centralcloud, where a database has both.")
    @functools.wraps(command)
    def with_settings(*, nats: str, **options: Any) -> None:
        urls = tuple(url for url in (part.strip() for part in nats.split(",")) if url)
        given = {field.name: options.pop(field.name) for field in fields(Settings) if field.name in options}
        command(Settings(nats_urls=urls or (DEFAULT_NATS_URL,), **given), **options)

    return with_settings


@main.command()
@_connection_options
@click.option(
    "--log-format", type=click.Choice(["console", "json"]), default="console", envvar="SINGULARITY_LOG_FORMAT"
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info",
    envvar="SINGULARITY_LOG_LEVEL",
)  # fmt: skip
def run(settings: Settings, log_format: log.LogFormat, log_level: str) -> None:
    """Relay until SIGTERM or SIGINT. Unreachable servers are waited for."""
    log.configure(log_format, log_level)
    try:
        asyncio.run(supervise.run(settings))
    except FatalError as error:
        click.echo(f"singularity-bridge: {error}", err=True)
        sys.exit(1)


@main.command("check")
@_connection_options
def check_command(settings: Settings) -> None:
    """Verify everything that `run` needs, and say how to mend what is not right."""
    log.configure("console", "error")
    sys.exit(0 if asyncio.run(_print_findings(settings)) else 1)


async def _print_findings(settings: Settings) -> bool:
    all_right = True
    async for finding in check(settings):
        verdict = click.style("FAILED", fg="red")
        if finding.right:
            verdict = (
                click.style("warn  ", fg="yellow") if finding.warning else click.style("ok    ", fg="green")
            )
        click.echo(f"{verdict}  {finding.what}: {finding.details}")
        if finding.warning or not finding.right:
            click.echo(f"        -> {finding.mend}")
        all_right = all_right and finding.right
    return all_right


if __name__ == "__main__":
    main()
