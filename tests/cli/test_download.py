"""`irsde download` and its kin in real processes, against a server that plays the Hub on the loopback address."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from irsde_cli import checkpoint
from irsde_cli.conversions.published import export
from irsde_cli.samplers.settings import Sampling
from irsde_cli.storage.files import shared_folder, temporary_prefix
from irsde_cli.systems.daclip import DaClipRestorer
from irsde_cli.systems.mean_reverting import MeanReverting, MeanRevertingConfig
from irsde_cli.systems.parts import NetworkConfig
from irsde_cli.weights.catalogue import DACLIP, LAMBDA
from irsde_cli.workflows.weights.download import OWNER
from tests.cli.stub import picture, save_stub
from tests.golden import load_golden
from tests.hub_server import COMMIT, Hub, Repo, served
from tests.reliability.points import Prepare
from tests.reliability.processes import Running, limited, start
from tests.systems.test_restorers import build

ROOT = Path(__file__).parents[2]
MODEL = "model.safetensors"
MIB = 1 << 20


class Machine:
    """A home of its own, whose Hub is the given server."""

    def __init__(self, home: Path, hub: Hub) -> None:
        self.home = home
        self.hub = hub
        self.prepare: list[Prepare] = []

    def environment(self, **more: str) -> dict[str, str | None]:
        """Variables to set, or to unset."""
        ours = {
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_ETAG_TIMEOUT": "1",
            "HF_HUB_DISABLE_XET": "1",
            "IRSDE_WEIGHTS": str(self.home / "weights"),
        }
        return {name: None for name in os.environ if name.startswith(("HF_", "HUGGING", "IRSDE_"))} | ours | more

    def start(self, *words: object, **environment: str) -> Running:
        return start(*words, cwd=self.home, environment=self.environment(**environment), prepare=self.prepare)

    def __call__(self, *words: object, code: int = 0, **environment: str) -> tuple[str, str]:
        ended = self.start(*words, **environment).wait(120)
        assert ended.code == code, f"{ended.code}: {ended.stdout}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.stdout, ended.stderr

    def cached(self) -> list[Path]:
        """What the cache shows under final names."""
        return sorted((self.home / "hf" / "hub").glob("models--*/snapshots/*/*"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return save_stub(tmp_path_factory.mktemp("hub") / MODEL).read_bytes()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """More than two of the pieces (10 MiB) in which the client reads."""
    path = tmp_path_factory.mktemp("hub") / MODEL
    torch.manual_seed(0)
    network = NetworkConfig("unet", {"nf": 28, "depth": 4})
    checkpoint.save(path, MeanReverting(MeanRevertingConfig(network)), task="derain")
    assert path.stat().st_size > 24 * MIB
    return path.read_bytes()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    home.mkdir()
    with served({}) as hub:
        yield Machine(home, hub)


def test_an_id_of_the_hub_works_wherever_a_name_does(machine: Machine, small: bytes) -> None:
    """Fetched once, pinned by commit, checked, then found without a network; `restore` takes it as --model."""
    machine.hub.repos["me/good"] = Repo({MODEL: small})
    out, err = machine("download", "me/good", HF_TOKEN="hf_secret")
    path = Path(out.strip())
    assert path.read_bytes() == small and [path] == machine.cached()
    assert f"me/good@{COMMIT}" in err and hashlib.sha256(small).hexdigest() in err
    sent = {path.split("/")[1]: headers.get("authorization") for _, path, headers in machine.hub.asked}
    assert sent["me"] == "Bearer hf_secret" and sent["cdn"] is None
    assert "hf_secret" not in out + err
    machine("download", "me/good", "--revision", COMMIT)
    assert machine.hub.transfers() == 1
    picture(machine.home / "in" / "a.png")
    words = ["restore", "in", "out", "--task", "denoise", "--model", f"me/good@{COMMIT}", "--steps", "1"]
    _, err = machine(*words, HF_HUB_OFFLINE="1")
    assert f"me/good@{COMMIT[:7]}" in err and (machine.home / "out" / "a.png").is_file()
    out, _ = machine("download", "me/good", "--local-dir", "here", HF_HUB_OFFLINE="1")
    copied = machine.home / out.strip()
    assert copied.read_bytes() == small
    noted = copied.with_suffix(".sha256").read_text()
    assert noted == f"{hashlib.sha256(small).hexdigest()}  good.safetensors\n"


def test_each_refusal_is_one_sentence(machine: Machine, small: bytes) -> None:
    """401, gated, 404 of file and revision, 403, 500s, a proxy's page, contents that lie: named, exit 4, no file."""
    page = b"<html>" * 20
    machine.hub.repos |= {
        "me/gated": Repo(status=403, error="GatedRepo"),
        "me/empty": Repo({"README.md": b""}),
        "me/proxy": Repo(html=True),
        "me/forbidden": Repo(status=403),
        "me/liar": Repo({MODEL: small}, lies=9),
        "me/page": Repo({MODEL: page}),
        "me/good": Repo({MODEL: small}),
    }
    names = [
        "nobody/nothing",
        *machine.hub.repos,
        "me/good@v9",
        "../x/y",
        "me/../good",
        "me/good@../x",
        "me/a--b",
        "/etc/passwd",
    ]
    out, err = machine("download", *names, code=4)
    told = [line.removeprefix("Error: ") for line in err.splitlines() if line.startswith("Error: ")]
    expected = [
        "the Hub has no repository 'nobody/nothing'",
        "'me/gated' is gated",
        f"'me/empty' has no file '{MODEL}'",
        f"what answers at {machine.hub.endpoint} is not the Hub",
        "the Hub has no repository 'me/forbidden'",
        f"what came as '{MODEL}' of 'me/liar' has the SHA-256",
        "is not a whole safetensors file",
        "'me/good' has no revision 'v9'",
        "no weight file '../x/y'",
        "no weight file 'me/../good'",
        "no weight file 'me/good@../x'",
        "'me/a--b' is no name of a repository",
        "'/etc/passwd' is not a whole safetensors file",
    ]
    assert len(told) == len(expected), err
    for line, words in zip(told, expected, strict=True):
        assert words in line
    assert len(out.splitlines()) == 1
    assert {path.parts[-4] for path in machine.cached()} == {"models--me--page", "models--me--good"}
    assert "HF_TOKEN" in err and "Accept its terms" in err


def test_a_content_that_lied_once_is_fetched_again(machine: Machine, small: bytes) -> None:
    """A wrong checksum with the right size is found, removed and replaced."""
    machine.hub.repos["me/good"] = Repo({MODEL: small}, lies=1)
    out, _ = machine("download", "me/good")
    assert Path(out.strip()).read_bytes() == small
    assert machine.hub.transfers() == 2


def test_a_cut_transfer_goes_on(machine: Machine, large: bytes) -> None:
    """A connection that breaks is taken up at the last whole piece; what is whole already is not sent again."""
    machine.hub.repos["me/good"] = Repo({MODEL: large}, cuts=2, cut_at=21 * MIB)
    out, _ = machine("download", "me/good")
    assert Path(out.strip()).read_bytes() == large
    assert machine.hub.ranges() and set(machine.hub.ranges()) == {f"bytes={20 * MIB}-"}


def test_a_busy_or_silent_hub_is_asked_again(machine: Machine, small: bytes) -> None:
    """429 and time-outs, a few times, are outlasted."""
    machine.hub.repos["me/good"] = Repo({MODEL: small}, silent=1, busy=2)
    out, _ = machine("download", "me/good")
    assert Path(out.strip()).read_bytes() == small


@pytest.mark.slow
def test_patience_ends(machine: Machine) -> None:
    """A Hub that stays busy or is not there ends in a sentence, within a minute."""
    machine.hub.repos["me/busy"] = Repo(busy=99)
    _, err = machine("download", "me/busy", code=4)
    assert "too many requests from here (429)" in err
    _, err = machine("download", "me/busy", code=4, HF_ENDPOINT="http://127.0.0.1:9")
    assert f"'{MODEL}' did not come from http://127.0.0.1:9" in err


def test_without_a_network(machine: Machine, small: bytes) -> None:
    """HF_HUB_OFFLINE: what is in the cache is taken, what is not is explained."""
    machine.hub.repos["me/good"] = Repo({MODEL: small})
    machine("download", "me/good")
    asked = len(machine.hub.asked)
    out, err = machine("download", "me/good", "me/other", code=4, HF_HUB_OFFLINE="1")
    assert Path(out.strip()).read_bytes() == small
    assert "'me/other' is not in the cache" in err and "irsde download me/other" in err
    assert len(machine.hub.asked) == asked


def test_two_processes_at_once(machine: Machine, large: bytes) -> None:
    """Both end with the right file."""
    machine.hub.repos["me/good"] = Repo({MODEL: large}, pause=0.001)
    both = [machine.start("download", "me/good") for _ in range(2)]
    for process in both:
        ended = process.wait(120)
        assert ended.code == 0, ended.stderr
        assert Path(ended.stdout.strip()).read_bytes() == large


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_killed_at_any_instant(machine: Machine, large: bytes) -> None:
    """The final name is whole or absent, the next run ends well, and SIGTERM leaves no temporary file."""
    repo = machine.hub.repos["me/good"] = Repo({MODEL: large}, pause=0.003)
    chance = random.Random(0)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        before = machine.hub.transfers()
        left = set((machine.home / "hf").rglob("*.incomplete"))
        process = machine.start("download", "me/good")
        process.until(lambda before=before: machine.hub.transfers() > before)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 1))
        process.signal(number)
        ended = process.wait()
        assert ended.code == (-9 if number == signal.SIGKILL else 128 + number), ended.stderr
        assert number == signal.SIGKILL or "interrupted" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert all(path.read_bytes() == large for path in machine.cached())
        assert number == signal.SIGKILL or set((machine.home / "hf").rglob("*.incomplete")) == left
    repo.pause = 0
    out, _ = machine("download", "me/good")
    assert Path(out.strip()).read_bytes() == large


def test_a_killed_run_left_no_checksum(machine: Machine, small: bytes) -> None:
    """Whoever finds the file next writes it."""
    folder = machine.home / "weights"
    folder.mkdir()
    (folder / "lpips.safetensors").write_bytes(small)
    note = folder / "lpips.sha256"
    note.touch()
    machine("download", "lpips")
    assert note.read_text() == f"{hashlib.sha256(small).hexdigest()}  lpips.safetensors\n"
    (folder / "lpips.safetensors").write_bytes(small[:-1])
    machine("download", "lpips")
    assert note.read_text() == f"{hashlib.sha256(small).hexdigest()}  lpips.safetensors\n"


@pytest.mark.skipif(os.name != "posix", reason="needs locks on folders")
def test_what_another_run_writes_stays(machine: Machine, small: bytes) -> None:
    """Temporary files are removed once nobody works in their folder."""
    source, folder = machine.home / "good.safetensors", machine.home / "there"
    source.write_bytes(small)
    folder.mkdir()
    aside = folder / f"{temporary_prefix(OWNER)}0.part"
    with shared_folder(folder, OWNER):
        aside.touch()
        machine("download", source, "--local-dir", folder)
        assert aside.exists()
    machine("download", source, "--local-dir", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["good.safetensors", "good.sha256"]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on file sizes")
def test_a_full_disk(machine: Machine, small: bytes, large: bytes) -> None:
    """The cache or the folder of results cannot be written: exit 5, a sentence, and nothing torn under a final name."""
    import resource

    machine.hub.repos |= {"me/good": Repo({MODEL: large}), "me/small": Repo({MODEL: small})}
    (machine.home / "big.safetensors").write_bytes(large)
    machine.prepare.append(limited(resource.RLIMIT_FSIZE, 4 * MIB))
    _, err = machine("download", "me/small", "me/good", code=5)
    assert "cannot write to the cache" in err and "HF_HOME" in err
    assert [path.read_bytes() for path in machine.cached()] == [small]
    _, err = machine("download", machine.home / "big.safetensors", "--local-dir", machine.home / "there", code=5)
    assert "cannot write" in err and list((machine.home / "there").iterdir()) == []


def test_dry_run_and_list(machine: Machine, small: bytes) -> None:
    """Sizes and commits without a transfer; the list as lines of JSON."""
    machine.hub.repos["me/good"] = Repo({MODEL: small})
    out, _ = machine("download", "me/good", "denoise-small", "lpips", "--dry-run")
    assert f"me/good: would be fetched, {len(small) / MIB:.1f} MiB, commit {COMMIT}" in out
    assert "denoise-small: is here" in out and "lpips: 233 MiB would be fetched" in out
    assert machine.hub.transfers() == 0
    out, _ = machine("download", "--list", "--json")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert rows["denoise-small"]["here"] and not rows["rain100h"]["here"] and rows["refusion-stereo"]["refused"]
    assert {"task", "system", "mib", "licence", "source", "data"} <= set(rows["rain100h"])


def test_an_official_file_by_hand(machine: Machine, shared: object) -> None:
    """Where it is, how to take it, what is in doubt; then `restore` with its name, from Python, verified, and back."""
    golden = load_golden(shared, "conditional_unet")
    official = machine.home / "official.pth"
    torch.save({f"module.{name}": value for name, value in golden.parameters().items()}, official)
    _, err = machine("download", "rain100h", code=4)
    assert "https://" in err and "irsde download rain100h --from rain100h_sde.pth" in err
    _, err = machine("restore", "in", "out", "--task", "derain", "--model", "rain100h", code=2)
    picture(machine.home / "in" / "a.png", 24, 20)
    _, err = machine("restore", "in", "out", "--task", "derain", "--model", "rain100h", code=4)
    assert "'rain100h' is not here" in err
    _, err = machine("download", "rain100h", "--from", official, code=4)
    assert "the network's nf is 8, that of 'rain100h' is 64" in err and f"--set {LAMBDA}=" in err
    words = ["download", "rain100h", "--from", official, "--max-sigma", "10"]
    out, _ = machine(*words, "--dry-run")
    assert "would be taken from files" in out and not (machine.home / "weights").exists()
    out, err = machine(*words)
    path = Path(out.strip())
    assert path == machine.home / "weights" / "rain100h.safetensors"
    assert checkpoint.read_header(path).origin == f"official.pth {hashlib.sha256(official.read_bytes()).hexdigest()}"
    machine("restore", "in", "out", "--task", "derain", "--model", "rain100h", "--steps", "2")
    restored = checkpoint.load(path).restorer
    assert not torch.isnan(restored(torch.rand(3, 24, 20), sampling=Sampling(steps=2))).any()
    machine("download", "rain100h", "--verify")
    machine("download", "--export", "rain100h", "back.pth")
    back = torch.load(machine.home / "back.pth", weights_only=True)
    assert back.keys() == golden.parameters().keys()
    assert all(torch.equal(back[name], value) for name, value in golden.parameters().items())
    _, err = machine("download", "--export", "rain100h", "back.pth", code=2)
    assert "exists" in err
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    _, err = machine("download", "rain100h", "denoise-small", "--verify", code=4)
    assert "when it came it was" in err and "denoise-small" in err


def test_rows_of_the_hub(machine: Machine, tmp_path: Path) -> None:
    """Both files of a DA-CLIP are fetched and converted; a file that is not the published one is removed."""
    restorer = build("daclip")
    assert isinstance(restorer, DaClipRestorer)
    parts = {"universal-ir-mix.pth": tmp_path / "unet.pth", "daclip_ViT-B-32_mix.pt": tmp_path / "clip.pt"}
    export(restorer, list(parts.values()))
    contents = {name: path.read_bytes() for name, path in parts.items()}
    contents |= {"universal-ir.pth": contents["universal-ir-mix.pth"], "daclip_ViT-B-32.pt": b"no weights"}
    machine.hub.repos[DACLIP] = Repo(contents)
    _, err = machine("download", "universal", "universal-mix", code=4)
    assert "what came as 'universal-ir.pth'" in err and f"--set {LAMBDA}=" in err
    assert [path.name for path in machine.cached()] == ["daclip_ViT-B-32_mix.pt", "universal-ir-mix.pth"]
    out, _ = machine("download", "--all-for", "auto", "--dry-run", "--max-sigma", "50")
    assert [line.split(":")[0] for line in out.splitlines()] == ["universal", "universal-mix", "wild"]
    out, _ = machine("download", "universal-mix", "--set", f"{LAMBDA}={50 / 255}")
    ours = checkpoint.load(Path(out.strip())).restorer.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in restorer.state_dict().items())


def test_options_that_mean_nothing(machine: Machine, small: bytes) -> None:
    """They are refused before anything is fetched; a file of somebody else is never replaced."""
    machine.hub.repos["me/good"] = Repo({MODEL: small})
    for words in (
        ["me/good", "--max-sigma", "10"],
        ["me/good", "--set", "upsampling=bicubic"],
        ["rain100h", "--set", "sampler=posterior"],
        ["rain100h", "--set", "upsampling"],
        ["maxim-derain", "--set", "upsampling=bicubic"],
        ["rain100h", "--revision", "v1"],
        ["rain100h", "gopro", "--from", "file.pth"],
        ["--verify", "--export", "denoise-small", "out.pth"],
        ["--export", "denoise-small"],
        [],
    ):
        machine("download", *words, code=2)
    assert machine.hub.asked == []
    (machine.home / "good.safetensors").write_bytes(b"mine")
    _, err = machine("download", "me/good", "--local-dir", machine.home, code=4)
    assert "did not write it" in err and (machine.home / "good.safetensors").read_bytes() == b"mine"


def test_token_is_no_option(machine: Machine) -> None:
    """A token on the command line would stand in the list of processes."""
    _, err = machine("download", "me/good", "--token", "hf_secret", code=2)
    assert "hf_secret" not in err


def test_a_run_goes_to_the_hub_and_comes_back(machine: Machine, small: bytes) -> None:
    """One commit with weights, card and config.json; the id then works in `restore` and in Python."""
    (machine.home / "run").mkdir()
    (machine.home / "run" / MODEL).write_bytes(small)
    _, err = machine("push", "run", "me/mine", code=4)
    assert "lets nobody here write to 'me/mine' (401)" in err and "HF_TOKEN" in err
    machine.hub.asked.clear()
    _, err = machine("push", "run", "mine", code=2)
    assert "owner/name" in err
    card, _ = machine("push", "run", "me/mine", "--dry-run")
    assert "irsde restore photos/ restored/ --task denoise --model me/mine" in card and not machine.hub.asked
    out, _ = machine("push", "run", "me/mine", HF_TOKEN="hf_secret")
    assert out.strip() == f"{machine.hub.endpoint}/me/mine/commit/{COMMIT}"
    files = machine.hub.repos["me/mine"].files
    assert files.keys() == {MODEL, "config.json", "README.md"} and files[MODEL] == small
    config = json.loads(files["config.json"])
    assert (config["model_type"], config["system"], config["task"]) == ("irsde", "mean-reverting", "denoise")
    card = files["README.md"].decode()
    told = ModelCard(card).data.to_dict()  # type: ignore[no-untyped-call]
    assert (told["library_name"], told["pipeline_tag"]) == ("irsde", "image-to-image") and "denoise" in told["tags"]
    assert told["license"] == "other"
    assert hashlib.sha256(small).hexdigest() in card
    environment = {name: value for name, value in (os.environ | machine.environment()).items() if value is not None}
    script = "import irsde_cli, torch; print(tuple(irsde_cli.load('me/mine')(torch.rand(3, 9, 8)).shape))"
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "(3, 9, 8)", result.stderr
