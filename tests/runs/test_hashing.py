import hashlib

from adapterkit.runs.hashing import sha256_file, sha256_text


def test_file_larger_than_a_chunk(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "x").write_bytes(data)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_text_is_hashed_as_utf8():
    assert sha256_text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_text("β") == hashlib.sha256(b"\xce\xb2").hexdigest()
