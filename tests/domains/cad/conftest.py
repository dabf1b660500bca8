"""Small datasets of generated parts, made once."""

from pathlib import Path

import pytest

from domains.cad.datasets import build


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of 30 training parts of three families."""
    out = tmp_path_factory.mktemp("cad") / "parts"
    build("parts", out, {"count": "30", "families": "spacer,plate_grid,flange"})
    return out
