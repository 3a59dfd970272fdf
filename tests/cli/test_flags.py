"""`cli.flags.Flags`: what the parsers of all commands are made of."""

from __future__ import annotations

import argparse

import pytest

from openpose_ext.cli.flags import Flags
from openpose_ext.cli.values import positive


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog="test", allow_abbrev=False)


def help_of(parser: argparse.ArgumentParser) -> str:
    """The help as one line, without the breaks that the terminal's width makes."""
    return " ".join(parser.format_help().split())


def test_a_switch_is_off_until_it_is_given(parser: argparse.ArgumentParser) -> None:
    Flags(parser).switch("--flat", "Do not search subfolders")
    assert parser.parse_args([]).flat is False
    assert parser.parse_args(["--flat"]).flat is True
    assert "--flat Do not search subfolders" in help_of(parser)


@pytest.mark.parametrize("name", ["-o", "--output"])
def test_every_name_of_a_flag_gives_its_value(parser: argparse.ArgumentParser, name: str) -> None:
    Flags(parser).value("-o --output OUT", "Output folder")
    assert parser.parse_args([name, "there"]).output == "there"
    assert "-o OUT, --output OUT Output folder" in help_of(parser)


@pytest.mark.parametrize(
    ("what", "default", "shown"),
    [
        ("Height", 368, "Height (default 368)"),
        ("Height", 0, "Height (default 0)"),
        ("Height", None, "Height"),
        ("Height (default: the video's)", None, "Height (default: the video's)"),
        ("Height (default -1: all)", -1, "Height (default -1: all)"),
    ],
)
def test_the_help_tells_a_default_once(
    parser: argparse.ArgumentParser, what: str, default: int | None, shown: str
) -> None:
    Flags(parser).value("--height H", what, int, default)
    assert parser.parse_args([]).height == default
    assert help_of(parser).endswith(f"--height H {shown}")


def test_a_value_is_converted_and_a_wrong_one_named(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    Flags(parser).value("--height H", "Height", positive, 368)
    assert parser.parse_args(["--height", "184"]).height == 184
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--height", "0"])
    assert ended.value.code == 2
    assert "--height" in capsys.readouterr().err


def test_further_arguments_reach_argparse(parser: argparse.ArgumentParser) -> None:
    Flags(parser).value("--write_csv DIR", "Write a table", nargs="?", const="here")
    assert parser.parse_args(["--write_csv"]).write_csv == "here"
    assert parser.parse_args(["--write_csv", "there"]).write_csv == "there"


@pytest.mark.parametrize(
    ("choices", "default", "word", "value"),
    [(("pad", "stretch"), "pad", "stretch", "stretch"), ((0, 90, 180), 0, "90", 90)],
)
def test_a_choice_takes_one_of_its_values_in_their_type(
    parser: argparse.ArgumentParser,
    choices: tuple[object, ...],
    default: object,
    word: str,
    value: object,
) -> None:
    Flags(parser).choice("--how", "How it is done", choices, default)
    assert parser.parse_args([]).how == default
    assert parser.parse_args(["--how", word]).how == value
    assert help_of(parser).endswith(f"How it is done (default {default})")
    with pytest.raises(SystemExit):
        parser.parse_args(["--how", "another"])


def test_hidden_flags_are_taken_but_not_shown(parser: argparse.ArgumentParser) -> None:
    Flags(parser).hidden("--producer_mode", "-g --graph", type=int, default=3)
    assert vars(parser.parse_args([])) == {"producer_mode": 3, "graph": 3}
    assert parser.parse_args(["-g", "4"]).graph == 4
    assert "producer_mode" not in help_of(parser)
    assert "graph" not in help_of(parser)


def test_flags_of_a_group_stand_under_its_heading(parser: argparse.ArgumentParser) -> None:
    Flags(parser.add_argument_group("frames")).switch("--frame_flip", "Mirror frames")
    shown = help_of(parser)
    assert shown.index("frames:") < shown.index("--frame_flip Mirror frames")
