"""Options: each declared once, and marked with what it decides."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
import typer
from typer.testing import CliRunner

import irsde_cli
from irsde_cli.cli.program import app
from irsde_cli.errors import UsageError
from irsde_cli.option import Declared, declared, flat, option, record
from irsde_cli.systems import SYSTEMS
from irsde_cli.systems.parts import PublishedSampling
from irsde_cli.training.config import TrainConfig
from irsde_cli.training.ranks import Ranks
from irsde_cli.weights.catalogue import LAMBDA
from irsde_cli.workflows.evaluate.request import Request
from irsde_cli.workflows.restore.events import Done, Ready, Skipped
from irsde_cli.workflows.restore.options import Options
from irsde_cli.workflows.train.options import RunConfig
from irsde_cli.workflows.train.states import check_settings, write_settings
from tests.cli.stub import Program, picture, save_stub

# What the record has of each picture, and not of the run.
OF_EACH_PICTURE = "of each picture"
KEYS_OF_THE_RUN = {"weights", "precision"}


def test_every_field_is_marked() -> None:
    """A field without a mark is no option, and the command cannot be built."""

    @dataclass(frozen=True)
    class Careless:
        eta: float = 1.0

    with pytest.raises(TypeError, match=r"Careless.eta is not marked"):
        declared(Careless)


def parameters(command: str) -> Iterator[Any]:
    group: Any = typer.main.get_command(app)
    yield from group.commands[command].params


COMMANDS: dict[str, tuple[type, ...]] = {
    command.name or "": getattr(command.callback, "parts", ()) for command in app.registered_commands
}


def test_every_command_is_declared() -> None:
    assert all(COMMANDS.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_a_marked_field(command: str) -> None:
    """The command lines have nothing that is declared elsewhere."""
    marked = [one for cls in COMMANDS[command] for one in declared(cls, partly=cls is TrainConfig) if one.option.shown]
    found = {parameter.name: parameter for parameter in parameters(command)}
    assert set(found) == {one.name for one in marked}
    for one in marked:
        assert one.is_argument or one.flag in found[one.name].opts
        assert found[one.name].envvar == one.variable


def test_commands_spell_the_same_thing_the_same_way() -> None:
    """A name that two commands share has one flag, one letter and one kind of value."""
    seen: dict[str, tuple[str, Any]] = {}
    for command in COMMANDS:
        for parameter in parameters(command):
            flag = parameter.opts[0]
            kind = (parameter.secondary_opts, parameter.opts[1:], parameter.is_flag if flag[0] == "-" else None)
            assert seen.setdefault(flag, (parameter.name, kind))[1] == kind, flag


@pytest.mark.parametrize("command", ["restore", "evaluate", "train"])
def test_options_stand_in_files_and_in_the_environment(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag comes before a variable, a variable before the file; what is printed is what would apply."""
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png", 8, 8)
    each: dict[str, list[object]] = {
        "restore": [tmp_path / "in", tmp_path / "out", "--task", "denoise"],
        "evaluate": ["--gt", tmp_path / "in", "--degradation", "gaussian-noise", "--task", "denoise"],
        "train": ["--preset", "denoise-small"],
    }
    words = each[command]
    (tmp_path / "options.toml").write_text("seed = 1\n", encoding="utf-8")

    def seed(*more: object) -> int:
        given = [
            command,
            *map(str, words),
            "--config",
            str(tmp_path / "options.toml"),
            "--print-config",
            *map(str, more),
        ]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 0, result.output
        found: int = json.loads(result.stdout)["seed"]
        return found

    assert seed() == 1
    monkeypatch.setenv("IRSDE_TRAIN_SEED" if command == "train" else "IRSDE_SEED", "2")
    assert seed() == 2
    assert seed("--seed", 3) == 3


def test_options_of_download_stand_in_files_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of the others; `push` has its own names."""
    (tmp_path / "options.toml").write_text('local-dir = "of-file"\nset = ["upsampling=nearest"]\n', encoding="utf-8")

    def shown(*words: object) -> Any:
        result = CliRunner().invoke(app, [*map(str, words), "--print-config"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    words = ["download", "div2k-x4", "--config", tmp_path / "options.toml"]
    assert (shown(*words)["local_dir"], shown(*words)["decided"]) == ("of-file", {"upsampling": "nearest"})
    monkeypatch.setenv("IRSDE_DOWNLOAD_LOCAL_DIR", "of-variable")
    assert shown(*words)["local_dir"] == "of-variable"
    assert shown(*words, "--local-dir", "of-flag")["local_dir"] == "of-flag"
    sizes = shown("download", "x", "--max-sigma", "51", "--timesteps", "7")["decided"]
    assert sizes == {LAMBDA: 0.2, "process.options.num_timesteps": 7, "sampling.steps": 7}
    monkeypatch.setenv("IRSDE_PUSH_PRIVATE", "1")
    assert shown("push", "run", "me/mine")["private"] is True


def test_train_reads_no_variable_of_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """IRSDE_STEPS are network evaluations; a training of so many steps would be another thing."""
    monkeypatch.setenv("IRSDE_STEPS", "2")
    result = CliRunner().invoke(app, ["train", "--preset", "denoise-small", "--print-config"])
    assert json.loads(result.stdout)["steps"] > 2


def test_events_are_lines_of_json_everywhere(stub: Path, tmp_path: Path) -> None:
    picture(tmp_path / "GT" / "a.png", 16, 16)
    words = ["--gt", tmp_path / "GT", "--degradation", "gaussian-noise", "--task", "denoise", "--model", stub]
    result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--way", "posterior:1", "--json", "-q"])
    events = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    assert events == ["planned", "scored", "result"]


def other(one: Declared, value: Any) -> Any:
    """Another value of the type of an option."""
    kinds = [kind for kind in get_args(one.type) or (one.type,) if kind is not type(None)]
    kind = kinds[0]
    if get_origin(one.type) is Literal:
        return next(choice for choice in kinds if choice != value)
    if kind is bool:
        return not value
    if kind in (int, float):
        return kind((value if isinstance(value, int | float) else 0) + 1)
    return {str: "other", Path: Path("other")}.get(kind, (2, 1))


def changed(settings: Any, name: str, value: Any) -> Any:
    """The settings with another value of one option, wherever it lies."""
    fields = {field.name for field in dataclasses.fields(settings)}
    if name in fields:
        return replace(settings, **{name: value})
    part = next(
        field.name
        for field in dataclasses.fields(settings)
        if dataclasses.is_dataclass(inner := getattr(settings, field.name))
        and name in {field.name for field in dataclasses.fields(inner)}
    )
    return replace(settings, **{part: changed(getattr(settings, part), name, value)})


RECORDED = {"restore": Options(inputs=("in",), outputs="out"), "evaluate": Request(), "train": RunConfig()}


@pytest.mark.parametrize(
    ("command", "one"),
    [(command, one) for command, settings in RECORDED.items() for one in declared(type(settings))],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_what_decides_pixels_is_in_the_record(command: str, one: Declared) -> None:
    """Two runs that differ in one option have the same record only if it decides no pixels."""
    settings = RECORDED[command]
    value = {found.name: given for found, given in flat(settings)}[one.name]
    same = record(settings) == record(changed(settings, one.name, other(one, value)))
    if one.option.recorded:
        assert one.option.decides == "pixels"
        assert one.option.recorded in KEYS_OF_THE_RUN | {OF_EACH_PICTURE}
    else:
        assert same == (one.option.decides != "pixels")


# `steps` may change: a longer training goes on.
LEARNT = sorted({field.name for field in dataclasses.fields(TrainConfig)} - {"steps"})


@pytest.mark.parametrize("name", [*LEARNT, "init"])
def test_a_training_of_other_settings_does_not_go_on(name: str, tmp_path: Path) -> None:
    """Whatever is learnt otherwise, or from another beginning: the record of the run has it."""
    config, run = TrainConfig("denoise", dict(SYSTEMS["mean-reverting"].example)), RunConfig(out=str(tmp_path))
    write_settings(tmp_path, config, run, Ranks(torch.device("cpu")))
    check_settings(tmp_path, config, run)
    path = tmp_path / "settings.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    check_settings(tmp_path, config, replace(run, data="elsewhere", workers=2))
    table = written["run"] if name == "init" else written
    assert name in table
    with pytest.raises(UsageError, match=f"'{name}' was "):
        if name == "init":
            check_settings(tmp_path, config, replace(run, init="denoise-small"))
        else:
            object.__setattr__(config, name, "another")
            check_settings(tmp_path, config, run)


def test_figures_are_kept_with_the_options_that_decide_them(stub: Path, tmp_path: Path) -> None:
    picture(tmp_path / "GT" / "a.png", 16, 16)
    words = ["--gt", tmp_path / "GT", "--degradation", "gaussian-noise", "--set", "sigma_min=20", "--task", "denoise"]
    words += ["--model", stub, "--way", "posterior:1", "--seed", 4, "--figures", "-", "-q"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
    options = json.loads(result.stdout)["options"]
    assert options["seed"] == 4 and options["change"] == ["sigma_min=20"] and options["clean"] == str(tmp_path / "GT")
    assert set(options) == {one.name for one in declared(Request) if one.option.decides == "pixels"}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (["--sampler", "sde-2", "--eta", "0.1"], ["--sampler", "sde-2", "--eta", "0.9"]),
        ([], ["--seed", "1"]),
        ([], ["--sampler", "ode-1"]),
        ([], ["--precision", "bf16"]),
        ([], ["--nodes", "90,40"]),
        ([], ["--trajectory", "2"]),
        (["--trajectory", "2"], ["--trajectory", "2", "--trajectory-format", "gif"]),
        (["--format", "jpeg"], ["--format", "jpeg", "--quality", "50"]),
    ],
    ids=lambda words: "-".join(words).replace("--", "") or "plain",
)
def test_another_setting_restores_again(first: list[str], then: list[str], restore: Program, tmp_path: Path) -> None:
    """What was made with other settings is not up to date; with the same ones it is."""
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    words = [source, tmp_path / "out", "--device", "cpu"]
    assert "1 done, 0 failed, 0 up to date" in restore(*words, *first).stderr
    assert "0 done, 0 failed, 1 up to date" in restore(*words, *first).stderr
    assert "1 done, 0 failed, 0 up to date" in restore(*words, *then).stderr


def test_other_weights_restore_again(restore: Program, tmp_path: Path) -> None:
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    restore(source, tmp_path / "out")
    more = Program(save_stub(tmp_path / "more.safetensors", sampling=PublishedSampling(clip=False)))
    assert "1 done" in more(source, tmp_path / "out").stderr


@pytest.mark.parametrize("words", [["--tile", "16"], ["--batch-size", "2"], ["--strict"], ["--jobs", "1"]])
def test_what_decides_the_machine_alone_restores_nothing_again(
    words: list[str], restore: Program, tmp_path: Path
) -> None:
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    restore(source, tmp_path / "out")
    assert "0 done, 0 failed, 1 up to date" in restore(source, tmp_path / "out", *words).stderr


def test_a_format_of_states_that_nobody_asked_for_changes_nothing(restore: Program, tmp_path: Path) -> None:
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    restore(source, tmp_path / "out")
    assert "1 up to date" in restore(source, tmp_path / "out", "--trajectory-format", "gif").stderr


def test_a_call_does_what_the_command_does(stub: Path, restore: Program, tmp_path: Path) -> None:
    """The same files, and for the command they are up to date."""
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    options: dict[str, Any] = {"task": "denoise", "model": str(stub), "steps": 2}
    events = list(irsde_cli.restore(source, tmp_path / "out", **options))
    ready = next(event for event in events if isinstance(event, Ready))
    assert (ready.weights, ready.steps, ready.seed) == ("stub.safetensors", 2, 0)
    done = next(event for event in events if isinstance(event, Done))
    assert done.output == tmp_path / "out" / "a.png"
    assert "1 up to date" in restore(source, tmp_path / "out").stderr
    again = list(irsde_cli.restore(source, tmp_path / "out", **options))
    assert any(isinstance(event, Skipped) for event in again)
    restore(source, tmp_path / "theirs")
    assert (tmp_path / "theirs" / "a.png").read_bytes() == done.output.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taks": "denoise"}, "unknown option 'taks'. Did you mean 'task'?"),
        ({}, "--task is missing"),
        ({"task": "denoise", "estimate": "median"}, "'estimate' is 'median'; it can be 'sample', 'mean'"),
        ({"task": "denoise", "shard": "5"}, "'5' is no shard"),
        ({"task": "denoise", "files_from": "-"}, "no pipe to read from"),
    ],
)
def test_a_call_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    source = picture(tmp_path / "in" / "a.png", 8, 8).parent
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        list(irsde_cli.restore(source, tmp_path / "out", **options))


def test_what_has_no_default_is_asked_for() -> None:
    @dataclass(frozen=True)
    class Needy:
        place: str = option("names", default=MISSING)

    from irsde_cli.option import asked

    with pytest.raises(UsageError, match="'place' is missing"):
        asked(Needy, {})
