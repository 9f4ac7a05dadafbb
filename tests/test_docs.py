"""The pages say what is there: links lead somewhere, configs exist, the README is short; pages run (thorough: all)."""

import doctest
import importlib
import importlib.util
import json
import pathlib
import re
import tomllib

import jax
import jax.numpy as jnp
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [path for path in sorted((ROOT / "unsupjax").rglob("*.py")) if ">>> " in path.read_text()]
TASKS = sorted((ROOT / "docs" / "tasks").glob("*.md"))


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_configs_are_there(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not link.startswith(("http", "mailto")):
            assert (page.parent / link).exists(), link
    for name in re.findall(r"--config=(?:configs/)?(\w+)(?![\w/])", text):
        if not name.isupper():  # NAME stands for any
            assert (ROOT / "configs" / f"{name}.py").exists(), name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT / "unsupjax")))
def test_the_examples_of_docstrings_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module, extraglobs={"jax": jax, "jnp": jnp})
    assert result.attempted and not result.failed


def test_tables_of_results_are_those_of_the_runs():
    made = _script("make_results")
    tables, records = tomllib.loads(made.TABLES.read_text()), json.loads(made.RECORDS.read_text())
    page = made.PAGE.read_text()
    assert made.render(page, tables, records) == page, "run python docs/make_results.py"
    assert set(re.findall(r"<!-- table: (\w+) -->", page)) == set(tables)
    known = {run for spec in tables.values() for run in spec["runs"]}
    assert not set(records) - known
    for name, spec in tables.items():
        for key in spec["columns"].values():
            assert any(key in r["metrics"] for run in spec["runs"] for r in records.get(run, {}).values()), (
                name,
                key,
            )


def test_means_are_shown_with_four_digits_and_their_deviation():
    made = _script("make_results")
    assert made.shown([0.98333, 0.97777]) == "0.9806 ± 0.0039" and made.shown([None, 95.721]) == "95.72"
    assert made.shown([-99.87, -100.13]) == "-100.0 ± 0.2" and made.shown([5.0312]) == "5.031"
    assert made.shown([0.005872]) == "0.005872" and made.shown([None]) == ""


def test_the_readme_is_short_and_its_figures_are_there():
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 150
    assert all((ROOT / link).exists() for link in re.findall(r"!\[[^]]*\]\(([^)]*)\)", readme))


def test_every_page_is_in_the_sites_menu():
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs')}\n" in menu, page


def test_what_a_page_says_is_held_against_what_is_printed(tmp_path):
    pages = _script("run_pages")
    page = tmp_path / "page.md"
    for said, right in (
        ("found 0.981 of 20 here\n", True),
        ("found 0.7 of 20 here\n", False),
        ("2\n", False),
    ):
        page.write_text(f"```python\nprint('found 0.98 of 20 here')\n```\n\n```text\n{said}```\n")
        assert bool(pages.run(page)) != right
    page.write_text("```sh\necho 1 > a\n```\n```python\nprint(open('a').read())\n```\n```text\n1\n```\n")
    assert not pages.run(page)
    page.write_text("```sh\nfalse\n```\n")
    with pytest.raises(RuntimeError, match="false"):
        pages.run(page)


def test_the_example_of_a_method_runs():
    assert not _script("run_pages").run(ROOT / "docs" / "house.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", TASKS, ids=lambda page: page.stem)
def test_pages_print_what_they_say(page):
    assert not _script("run_pages").run(page)
