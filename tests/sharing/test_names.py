"""Names of packages and their versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterkit.runs.errors import UserError
from adapterkit.sharing.names import Reference, default_name, looks_like_name

PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@given(PARTS, PARTS, PARTS)
def test_a_reference_reads_back(task: str, plan: str, tag: str) -> None:
    reference = Reference(f"{task}@{plan}", tag)
    assert Reference.parse(str(reference)) == reference
    assert looks_like_name(str(reference))


@given(st.text(max_size=30))
def test_a_text_is_a_reference_or_a_mistake(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UserError:
        assert not looks_like_name(text) or ":" in text
    else:
        assert text.isascii()
        assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["bc5cdr", "bc5cdr@", "@tiny", "b\u0441@tiny", "../a@b", "a@b@c", "a@b:", "a@b:sha256:12", ""],
)
def test_no_reference(text: str) -> None:
    with pytest.raises(UserError):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        ("head", "t@head"),
        ("adapter", "t@adapter-double-seq-bn-r-12"),
        ("0-5:adapter(lora,r=8)", "t@adapter-lora-r-8"),
        ("0-2:frozen 3-5:adapter(seq_bn)", "t@3-5-adapter-seq-bn"),
        ("0:layerwise 1:adapter(lora) 2:full", "t@0-layerwise-1-adapter-lora-2-full"),
        ("full", "t@full"),
    ],
)
def test_a_name_of_a_plan(plan: str, name: str) -> None:
    assert default_name("t", plan) == name
    assert looks_like_name(name)
