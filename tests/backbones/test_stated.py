"""What a configuration states is what the loaded backbone has."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterkit.backbones.bundled_folder import BUNDLED, bundled_folder
from adapterkit.backbones.loading import load_backbone
from adapterkit.backbones.stated import stated_steps


def test_the_bundled_backbone() -> None:
    assert stated_steps(BUNDLED) == stated_steps(bundled_folder()) == load_backbone().steps


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num_hidden_layers": "6"}', "\x00"])
def test_a_damaged_configuration_states_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert stated_steps(tmp_path) is None


def test_what_is_not_here_states_nothing(tmp_path: Path) -> None:
    assert stated_steps(tmp_path / "none") is None
    assert stated_steps("owner/name") is None
