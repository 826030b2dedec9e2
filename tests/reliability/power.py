"""A disk that loses power: what is left of a folder is what was forced to it."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from tests.reliability.points import Point

Ordering = Literal["names first", "names late"]


@dataclass(eq=False)
class Node:
    """A file, link or folder, as the system shows it and as the disk has it.

    Attributes:
        time: of its last change, in nanoseconds; 0 where nothing was written.
    """

    data: bytes = b""
    forced_data: bytes | None = None
    time: int = 0
    link: str = ""
    entries: "dict[str, Node] | None" = None
    forced_entries: "dict[str, Node]" = field(default_factory=dict)


class Disk:
    """What the operations of a run make of the folder `root`, whose files of now are on the disk.

    File systems differ in what they do without fsync. With "names first" every name is on the disk at once and the
    data are not: a file whose data were not forced holds half of them. With "names late" a name is on the disk once
    its folder was forced.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._node = _forced(root)

    def after(self, points: Iterable[Point]) -> Iterator[Point]:
        """Do the operations one by one, and yield each when it is done."""
        for point in points:
            if point.moment == "after":
                self._do(point)
                yield point

    def _find(self, path: str) -> Node | None:
        node: Node | None = self._node
        for name in PurePath(path).relative_to(self._root).parts:
            node = None if node is None or node.entries is None else node.entries.get(name)
        return node

    def _do(self, point: Point) -> None:
        path = PurePath(point.path)
        above, node = self._find(str(path.parent)) if point.path != self._root else None, self._find(point.path)
        if point.kind == "fsync":
            if node is not None and node.entries is not None:
                node.forced_entries = dict(node.entries)
            elif node is not None:
                node.forced_data = node.data
            return
        assert above is not None and above.entries is not None, point
        if point.kind == "create":
            if node is None:
                above.entries[path.name] = Node()
            else:
                node.data = b""
        elif point.kind == "mkdir":
            above.entries.setdefault(path.name, Node(entries={}))
        elif point.kind == "write":
            assert node is not None, point
            node.data += point.data
            node.time = point.time
        elif point.kind == "date":
            assert node is not None, point
            node.time = point.time
        elif point.kind == "symlink":
            above.entries[path.name] = Node(link=point.target)
        elif point.kind in ("unlink", "rmdir"):
            above.entries.pop(path.name, None)
        elif point.kind in ("rename", "link"):
            target = self._find(str(PurePath(point.target).parent))
            assert target is not None and target.entries is not None and node is not None, point
            if point.kind == "rename":
                del above.entries[path.name]
            target.entries[PurePath(point.target).name] = node

    def lose_power(self, place: Path, ordering: Ordering) -> None:
        """Let what is left be all that is below `place`."""
        shutil.rmtree(place)
        _leave(self._node, place, ordering)


def _forced(path: Path) -> Node:
    if not path.is_dir():
        data = path.read_bytes()
        return Node(data, data, path.stat().st_mtime_ns)
    entries = {inner.name: _forced(inner) for inner in path.iterdir()}
    return Node(entries=entries, forced_entries=dict(entries))


def _leave(node: Node, place: Path, ordering: Ordering) -> None:
    if node.link:
        place.symlink_to(node.link)
        return
    if node.entries is None:
        forced = node.forced_data
        place.write_bytes(node.data[: len(node.data) // 2] if forced is None else forced)
        if node.time:
            os.utime(place, ns=(node.time, node.time))
        return
    place.mkdir()
    for name, inner in (node.entries if ordering == "names first" else node.forced_entries).items():
        _leave(inner, place / name, ordering)
