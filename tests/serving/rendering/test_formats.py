from __future__ import annotations

import subprocess
import sys

import pytest

from adapterkit.runs.errors import UserError
from adapterkit.serving.rendering.formats import FORMATS, renderer

from .made import chemicals_and_diseases, crossing


@pytest.mark.parametrize("name", ["text", "json", "html", "brat"])
def test_every_format_writes_overlapping_layers(name):
    written = renderer(name)([chemicals_and_diseases(), crossing()])
    assert written.count("Disease") >= 2
    assert "ncbi" in written
    assert written.endswith("\n")


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(UserError) as refused:
        renderer("htm")
    message = str(refused.value)
    assert all(name in message for name in FORMATS)
    assert "did you mean html?" in message


def test_a_wrong_format_is_found_out_before_anything_heavy_is_imported():
    code = "import sys, adapterkit.serving.rendering.formats; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
