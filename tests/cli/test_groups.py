"""Groups of options: one parameter of a command, an option for each field."""

import inspect
from typing import Annotated

import typer
from typer.testing import CliRunner

from penstock.cli.groups import Options, grouped


class Inner(Options):
    depth: Annotated[int, typer.Option("--depth")] = 3


class Outer(Options):
    name: Annotated[str, typer.Option("--name")]
    inner: Inner
    flag: Annotated[bool, typer.Option("--flag")] = False


app = typer.Typer()


@app.command()
@grouped
def command(
    first: Annotated[str, typer.Argument()],
    *,
    outer: Outer,
    last: Annotated[str, typer.Option("--last")] = "z",
) -> None:
    """Tell what arrived."""
    typer.echo(f"{first} {outer.name} {outer.inner.depth} {outer.flag} {last}")


def test_fields_stand_where_their_group_stands() -> None:
    assert list(inspect.signature(command).parameters) == ["first", "name", "depth", "flag", "last"]


def test_a_command_gets_its_groups_filled() -> None:
    answer = CliRunner().invoke(app, ["a", "--name", "b", "--depth", "7", "--flag"])
    assert answer.output == "a b 7 True z\n"


def test_fields_have_defaults_and_may_be_required() -> None:
    assert CliRunner().invoke(app, ["a", "--name", "b"]).output == "a b 3 False z\n"
    assert CliRunner().invoke(app, ["a"]).exit_code == 2
