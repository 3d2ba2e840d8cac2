"""`lorapool doctor` on the command line."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import AccessError, ApiError
from lorapool_common.kube.kubeconfig import load_access, read_kubeconfig
from lorapool_local.doctor.diagnosis import Diagnosis, Severity
from lorapool_local.doctor.installation import check_installation
from lorapool_local.doctor.look import Look
from lorapool_local.doctor.objects import check_adapters, check_pools

_SIGNS: Final = {
    Severity.OK: "ok     ",
    Severity.WAIT: "wait   ",
    Severity.WARNING: "warning",
    Severity.ERROR: "ERROR  ",
}
_COLOURS: Final = {Severity.OK: "green", Severity.WAIT: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Pools and adapters; default: all.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only this one; default: all.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, or the account of the pod.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also what is well.")] = False,
) -> None:
    """Say what is wrong with an installation, its pools and its adapters, in order, and what to do.

    It reads with the rights of whoever calls it, and changes nothing. Ends with 1 where something is wrong.
    """
    try:
        findings = asyncio.run(examine(namespace, kubeconfig, names or ()))
    except (AccessError, ApiError) as error:
        sys.exit(f"lorapool doctor: the API server is not reached: {error}")
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        if verbose or finding.level is not Severity.OK:
            console.print(f"[{_COLOURS[finding.level]}]{_SIGNS[finding.level]}[/] ", end="")
            console.print(line(finding), markup=False)
    troubles = sum(finding.is_trouble for finding in findings)
    console.print(f"{len(findings)} things looked at, {troubles} of them wrong")
    sys.exit(1 if troubles else 0)


def line(finding: Diagnosis) -> str:
    """The finding, and below it what to do."""
    remedy = f"\n        -> {finding.remedy}" if finding.remedy and finding.level is not Severity.OK else ""
    return f"{finding.about}: {finding.what}{remedy}"


async def examine(namespace: str | None, kubeconfig: Path | None, names: Sequence[str] = ()) -> list[Diagnosis]:
    """What is found, in order. Raises: AccessError, ApiError."""
    access = await (read_kubeconfig(kubeconfig) if kubeconfig else load_access())
    async with Kube(access) as kube:
        facts = await Look(kube, namespace).facts(datetime.now(UTC))
    objects = [*check_pools(facts), *check_adapters(facts)]
    return [*check_installation(facts), *(f for f in objects if not names or _is_one_of(f, names))]


def _is_one_of(finding: Diagnosis, names: Sequence[str]) -> bool:
    """Whether it is about one of these, named with or without its namespace."""
    name = finding.about.rpartition(" ")[2]
    return name in names or name.rpartition("/")[2] in names
