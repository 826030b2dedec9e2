"""What the program says to people who have not said enough: a few lines, and where there are more."""

from collections.abc import Iterator

from irsde_cli.tasks import TASKS
from irsde_cli.weights import readiness

WELCOME = """\
Restores photographs on this computer: noise, blur, rain, haze, JPEG blocks.

  irsde restore photos/ restored/ -t denoise   restore a folder, or a picture
  irsde restore photos/ restored/              which tasks there are
  irsde download --list                        networks, here and elsewhere
  irsde env                                    is all in order?

Every command: irsde --help"""

RESTORE = """\
irsde restore INPUT OUTPUT --task TASK

  irsde restore photos/ restored/                says which tasks there are
  irsde restore photos/ restored/ -t denoise     a folder; originals stay
  irsde restore shaken.jpg sharp.jpg -t deblur   one picture
  irsde restore ... --dry-run                    says how long it will take

Every option: irsde restore --help"""

READY = {"yes": "yes", "fetch": "download", "file": "by hand", "no": "no"}


def tasks() -> Iterator[str]:
    """What can be undone, a line for each task, what is ready first."""
    yield f"{'--task':10}{'ready':10}{'for':30}not for"
    ready = {name: readiness(name) for name in TASKS}
    for name in sorted(TASKS, key=lambda name: list(READY).index(ready[name])):
        task = TASKS[name]
        yield f"{name:10}{READY[ready[name]]:10}{task.good_for:30}{task.not_for}"
    yield "'irsde download --list' has networks for what is not ready."
