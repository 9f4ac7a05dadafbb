"""docs/reports.md names tests that there are."""

import ast
import pathlib
import re

TESTS = pathlib.Path(__file__).parent


def test_every_report_has_a_test():
    rows = re.findall(
        r"^\| ([\w./-]+/[\w.-]+#\d+.*?) \|.*`([\w/]+\.py)::(\w+)` \|$",
        (TESTS.parent / "docs/reports.md").read_text(),
        re.M,
    )
    assert len(rows) >= 20
    for report, path, name in rows:
        tree = ast.parse((TESTS / path).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, report
