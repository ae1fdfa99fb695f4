import json

import pytest

from adapterkit.runs.hashing import sha256_file


def test_show_counts_shared_parameters_once(cli, tiny_backbone):
    facts = cli("backbones", "show", tiny_backbone, "--json").json
    hidden, inner, embedding = 32, 64, 16
    block = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + hidden + inner + 4 * hidden
    assert (facts["steps"], facts["hidden_size"], facts["layerwise"]) == (4, hidden, False)
    tables = (facts["vocabulary"] + 512 + 2) * embedding + 2 * embedding
    assert facts["parameters"] == block + tables + embedding * hidden + hidden
    shown = cli("backbones", "show", tiny_backbone)
    assert f"{facts['parameters']:,}" in shown.stdout
    assert facts["fingerprint"] in shown.stdout


def test_list_includes_a_folder(cli, tiny_backbone):
    listed = cli("backbones", "list", tiny_backbone.parent, "--json").json["backbones"]
    assert [facts["id"] for facts in listed] == ["bundled", str(tiny_backbone)]


def test_fingerprint_is_that_of_the_card(cli, tiny_backbone):
    card = json.loads((tiny_backbone / "card.json").read_text())
    assert cli("backbones", "fingerprint", tiny_backbone).stdout.strip() == card["fingerprint"]
    found = cli("backbones", "fingerprint", tiny_backbone, "--json").json
    assert found == {"id": str(tiny_backbone), "fingerprint": card["fingerprint"]}


def test_export_is_read_by_stock_transformers(cli, tiny_backbone, tmp_path):
    target = tmp_path / "albert"
    outcome = cli("backbones", "export", tiny_backbone, target)
    assert outcome.status == 0, outcome.stderr
    assert str(target) in outcome.stdout
    config = json.loads((target / "config.json").read_text())
    assert (config["model_type"], config["num_hidden_groups"]) == ("albert", 4)


def test_export_overwrites_nothing(cli, tiny_backbone, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    outcome = cli("backbones", "export", tiny_backbone, tmp_path)
    assert outcome.status == 2
    assert str(tmp_path) in outcome.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("verb", ["show", "fingerprint"])
def test_no_such_backbone(cli, tmp_path, verb):
    outcome = cli("backbones", verb, tmp_path / "nowhere")
    assert outcome.status == 2
    assert "nowhere" in outcome.stderr


def test_import_of_a_foreign_folder_writes_nothing(cli, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"model_type": "gpt2"}')
    outcome = cli("backbones", "import", source, tmp_path / "target")
    assert outcome.status == 2
    assert "gpt2" in outcome.stderr
    assert not (tmp_path / "target").exists()


def test_a_changed_byte_is_noticed(cli, tiny_backbone, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_backbone, copy)
    weights = copy / "model.safetensors"
    before = sha256_file(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x01
    weights.write_bytes(content)
    assert sha256_file(weights) != before
    assert cli("backbones", "show", copy).status == 2


def test_import_of_a_published_checkpoint_without_a_tokenizer(cli, tmp_path):
    from tests.backbones.minialbert import Shape, base_tensors, config_of, write

    shape = Shape()
    source = write(tmp_path / "source", base_tensors(shape), config_of(shape))
    words = tmp_path / "words"
    words.mkdir()
    (source / "vocab.txt").rename(words / "vocab.txt")
    refused = cli("backbones", "import", source, tmp_path / "target")
    assert refused.status == 2
    assert "tokenizer" in refused.stderr
    done = cli("backbones", "import", source, tmp_path / "target", "--tokenizer", words, "--json")
    assert done.status == 0, done.stderr
    assert (done.json["steps"], done.json["layerwise"]) == (shape.steps, shape.adapters)
    assert all(isinstance(note, str) for note in done.json["notes"])
    assert (tmp_path / "target" / "config.json").exists()


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A checkpoint of a plain BERT as transformers writes it."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bert") / "bert"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "patient"]
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(
        vocab_size=len(words), intermediate_size=24, max_position_embeddings=256, **sizes
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    return folder


def test_import_of_a_bert_says_that_its_steps_share_nothing(cli, bert, tmp_path):
    target = tmp_path / "target"
    done = cli("backbones", "import", bert, target)
    assert done.status == 0, done.stderr
    assert "nothing: every one of the 2 steps has a block of its own" in done.stdout
    facts = cli("backbones", "show", target, "--json").json
    block = 4 * (16 * 16 + 16) + 2 * 16 * 24 + 24 + 16 + 4 * 16
    assert facts["parameters"] == 2 * block + (7 + 256 + 2 + 2) * 16
    assert facts["shared"].startswith("nothing")


def test_layerwise_on_a_bert_is_refused(cli, bert, tmp_path):
    outcome = cli(
        "tune", "--task", "bc5cdr", "--data", "sample", "--mode", "layerwise",
        "--backbone", bert, "--output", tmp_path / "run",
    )  # fmt: skip
    assert outcome.status == 2
    assert "no layer-wise adapters" in outcome.stderr


def test_a_bert_whose_tokenizer_does_not_match_is_refused(cli, bert, tmp_path):
    words = tmp_path / "words"
    words.mkdir()
    (words / "vocab.txt").write_text((bert / "vocab.txt").read_text() + "\nfever")
    outcome = cli("backbones", "import", bert, tmp_path / "target", "--tokenizer", words)
    assert outcome.status == 2
    assert "tokenizer does not belong" in outcome.stderr
    assert str(words) in outcome.stderr
    assert not (tmp_path / "target").exists()


def compress(cli, *more):
    return cli("backbones", "compress", "--method", "kronecker", "--target", "0.7", *more)


def test_compress_says_what_it_made(cli, bert, tmp_path):
    target = tmp_path / "small"
    done = compress(cli, "--from", bert, "--output", target, "--json")
    assert done.status == 0, done.stderr
    card = json.loads((target / "card.json").read_text())
    assert card["compressed_from"]["source"] == "bert"
    assert card["compression"]["parameters"] == done.json["parameters"]
    assert str(tmp_path) not in json.dumps(card)
    shown = cli("backbones", "show", target, "--json").json
    assert shown["parameters"] == done.json["parameters"] <= 0.7 * done.json["source_parameters"]
    assert done.json["bytes"] == (target / "model.safetensors").stat().st_size
    assert set(done.json["reconstruction_errors"]) == set(done.json["forms"])


def test_compress_prints_the_error_of_each_matrix(cli, bert, tmp_path):
    done = compress(cli, "--from", bert, "--output", tmp_path / "small")
    assert done.status == 0, done.stderr
    assert "relative error" in done.stdout
    for name in ("embeddings.word_embeddings", "attention.query", "ffn_output"):
        assert name in done.stdout
    assert f"student.backbone={tmp_path / 'small'}" in done.stdout


def test_compress_takes_the_factors_from_a_file(cli, bert, tmp_path):
    forms = tmp_path / "forms.yaml"
    forms.write_text(
        "embeddings: {rows: [7, 1], columns: [4, 4]}\n"
        "attention: {rows: [4, 4], columns: [2, 8]}\n"
        "ffn: {rows: [6, 4], columns: [4, 4], terms: 2}\n"
        "ffn_output: {rows: [4, 4], columns: [6, 4]}\n"
    )
    common = ("backbones", "compress", "--method", "kronecker", "--from", bert, "--output")
    done = cli(*common, tmp_path / "small", "--forms", forms, "--json")
    assert done.status == 0, done.stderr
    assert done.json["forms"]["ffn"]["rows"] == [6, 4]
    assert (
        json.loads((tmp_path / "small" / "card.json").read_text())["compression"]["target"] is None
    )

    forms.write_text(
        forms.read_text().replace("[6, 4], columns: [4, 4]", "[5, 4], columns: [4, 4]")
    )
    for more, told in (
        (("--forms", forms), "rows could be"),
        (("--forms", tmp_path / "nowhere.yaml"), "nowhere.yaml"),
        (("--forms", forms, "--target", "0.5"), "both"),
        ((), "neither"),
    ):
        outcome = cli(*common, tmp_path / "other", *more)
        assert outcome.status == 2, more
        assert told in outcome.stderr, (more, outcome.stderr)
        assert not (tmp_path / "other").exists()


def test_compress_refuses_before_any_work(cli, bert, tiny_backbone, tmp_path):
    for arguments, said in (
        (("--from", tiny_backbone), "compressed already"),
        (("--from", bert, "--target", "2"), "--target"),
        (("--from", bert, "--target", "0.0001"), "cannot be met"),
        (("--from", tmp_path / "nowhere"), "nowhere"),
    ):
        outcome = compress(cli, *arguments, "--output", tmp_path / "small")
        assert outcome.status == 2, arguments
        assert said in outcome.stderr
        assert not (tmp_path / "small").exists()
