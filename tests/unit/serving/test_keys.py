from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from rats_train.errors import UserError
from serving.keys import key_folder, signing_keys, trusted_key


def test_a_pair_is_made_once_and_only_its_owner_reads_the_private_key(tmp_path):
    pair = signing_keys(tmp_path / "keys")
    made = pair.private.read_bytes()
    assert pair.private.stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    assert signing_keys(tmp_path / "keys").private.read_bytes() == made
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {"signing.pem", "signing.pub.pem"}


def test_the_public_key_belongs_to_the_private_one_and_is_made_again_when_lost(tmp_path):
    pair = signing_keys(tmp_path)
    pair.public.unlink()
    public = load_pem_public_key(signing_keys(tmp_path).public.read_bytes())
    private = load_pem_private_key(pair.private.read_bytes(), password=None)
    assert public.public_numbers() == private.public_key().public_numbers()


def test_packagers_that_start_together_share_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = {pair.private.read_bytes() for pair in pool.map(lambda _: signing_keys(tmp_path), range(8))}
    assert len(keys) == 1


def test_a_server_without_the_public_key_says_where_it_belongs(tmp_path):
    with pytest.raises(UserError, match=r"signing\.pub\.pem.*RATS_KEYS"):
        trusted_key(tmp_path)


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RATS_KEYS", str(tmp_path))
    assert key_folder() == tmp_path
