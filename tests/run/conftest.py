import pytest


@pytest.fixture(autouse=True, scope="module")
def runs_draw_little(few_panels):
    """Every run here."""
