"""The architecture, read from the source: who may import whom, and what start-up may cost."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import irsde_cli
from irsde_cli.registry import Registry

ROOT = Path(irsde_cli.__file__).parent
PACKAGE = ROOT.name
PAGE = ROOT.parent / "docs" / "architecture.md"


def layers() -> list[list[str]]:
    """The lines of the table of docs/architecture.md: the parts of each, without what is said about them."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- layers -->\n```text\n")[2].partition("```")[0]
    return [line[:50].split() for line in table.splitlines()]


LEVEL = {part: level for level, parts in enumerate(layers()) for part in parts}
LIGHT = ("errors", "version", "registry", "config", "tasks", "datasets", "weights", "cli", "__init__", "__main__")
LARGEST_SHARE = 0.22
LONGEST_WORKFLOW = 350
LONGEST_FUNCTION_OF_A_COMMAND = 80
HEAVY = {"torch", "safetensors", "huggingface_hub"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def imports(module: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The absolute names of what these statements import: modules, and names of the root package."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in SOURCES or node.module == PACKAGE else node.module


def at_start(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_start(child)


def part(module: str) -> str:
    """The entry of the table that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_lines_above_its_own(module: str) -> None:
    """Parts of one line know nothing of each other."""
    own = part(module)
    assert own in LEVEL, f"'{own}' has no line in docs/architecture.md"
    for imported in imports(module, ast.walk(TREES[module])):
        other = part(imported)
        if imported.split(".")[0] != PACKAGE or other == own:
            continue
        assert LEVEL[other] < LEVEL[own], f"{module} imports {imported}, which does not lie above it"


def test_the_table_names_what_there_is() -> None:
    """Each part once, and no part that is gone."""
    named = [name for parts in layers() for name in parts]
    assert sorted(named) == sorted({part(module) for module in SOURCES})


@pytest.mark.parametrize("module", [module for module in SOURCES if part(module) == "workflows"])
def test_workflows_know_nothing_of_each_other(module: str) -> None:
    own = module.split(".")[2:3]
    for imported in imports(module, ast.walk(TREES[module])):
        assert not imported.startswith(f"{PACKAGE}.workflows") or imported.split(".")[2:3] == own, imported


@pytest.mark.parametrize("module", [module for module in SOURCES if part(module) == "cli"])
def test_commands_parse_call_and_print(module: str) -> None:
    """No function does more than a page of it."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION_OF_A_COMMAND, node.name


def test_there_is_no_circle() -> None:
    """No module needs itself, however far away; imports for types alone are counted too."""
    needed = {
        module: {name for name in imports(module, ast.walk(TREES[module])) if name in SOURCES} for module in SOURCES
    }
    while needed:
        ready = {module for module, others in needed.items() if not others & needed.keys()}
        assert ready, f"a circle among {sorted(needed)}"
        needed = {module: others for module, others in needed.items() if module not in ready}


def test_no_part_is_too_large() -> None:
    """One room for five trades was a quarter of the code once."""
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in SOURCES.items()}
    parts = {name: sum(count for module, count in lines.items() if part(module) == name) for name in LEVEL}
    name = max(parts, key=lambda one: parts[one])
    assert parts[name] <= LARGEST_SHARE * sum(lines.values()), f"'{name}' has {parts[name]} of {sum(lines.values())}"
    long = {m: count for m, count in lines.items() if part(m) == "workflows" and count > LONGEST_WORKFLOW}
    assert not long


def imported_at_start(module: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Pairs (importer, foreign package), through our own modules and the packages around them."""
    seen.add(module)
    for imported in imports(module, at_start(TREES[module])):
        if imported.split(".")[0] != PACKAGE:
            yield module, imported.split(".")[0]
            continue
        parts = imported.split(".")
        for name in (".".join(parts[:count]) for count in range(1, len(parts) + 1)):
            if name in SOURCES and name not in seen:
                yield from imported_at_start(name, seen)


@pytest.mark.parametrize("module", [module for module in SOURCES if part(module) in LIGHT])
def test_light_modules_stay_light(module: str) -> None:
    """What `--help` touches imports nothing, at any remove, that takes seconds."""
    heavy = [(importer, name) for importer, name in imported_at_start(module, set()) if name in HEAVY]
    assert not heavy


@pytest.mark.parametrize("module", [module for module in SOURCES if part(module) not in ("cli", "__main__")])
def test_nothing_below_the_commands_prints(module: str) -> None:
    calls = (node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not lines


def registries() -> dict[str, Registry]:
    """Every table of the package, by the name of its module and variable."""
    found = {}
    for module, tree in TREES.items():
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if "Registry" in names and part(module) != "registry":
            for name, value in vars(importlib.import_module(module)).items():
                if isinstance(value, Registry):
                    found[f"{module}.{name}"] = value
    return found


@pytest.mark.parametrize("table", registries().values(), ids=registries())
def test_every_row_of_a_table_loads(table: Registry) -> None:
    """Each name leads to something callable, as the kebab case that the command line shows."""
    for name in table:
        assert name == name.lower().replace("_", "-")
        assert callable(table.load(name)), f"{table.kind} '{name}'"
