"""Whatever happens to a signed folder, it is refused: each case is one way to change it."""

import json
import os
import subprocess
import sys

import pytest

from rats_train.errors import UserError
from serving.keys import signing_keys
from serving.package.signature import SIGNATURE, sign_folder, verify_folder


@pytest.fixture
def keys(tmp_path):
    return signing_keys(tmp_path / "keys")


@pytest.fixture
def folder(tmp_path, keys):
    folder = tmp_path / "1"
    (folder / "part").mkdir(parents=True)
    (folder / "part/weights.safetensors").write_bytes(bytes(range(256)))
    (folder / "package.json").write_text("{}")
    sign_folder(folder, keys.private)
    return folder


def flip_a_bit(folder):
    path = folder / "part/weights.safetensors"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def replace_with_link(folder):
    path = folder / "package.json"
    outside = folder.parent / "outside.json"
    outside.write_text("{}")
    path.unlink()
    path.symlink_to(outside)


def link_a_folder(folder):
    (folder / "more").symlink_to(folder.parent / "keys")


def edit_signature(folder):
    bundle = json.loads((folder / SIGNATURE).read_text())
    signature = bundle["dsseEnvelope"]["signatures"][0]
    signature["sig"] = signature["sig"][:10] + "AAAA" + signature["sig"][14:]
    (folder / SIGNATURE).write_text(json.dumps(bundle))


CHANGES = {
    "a bit differs": (flip_a_bit, "Hash mismatch for 'part/weights.safetensors'"),
    "a file is extra": (lambda f: (f / "extra.json").write_text("{}"), r"Extra files.*extra\.json"),
    "a git file is extra": (
        lambda f: ((f / ".git").mkdir(), (f / ".git/x.json").write_text("{}")),
        r"Extra files.*\.git/x\.json",
    ),
    "a file is missing": (lambda f: (f / "package.json").unlink(), r"Missing files.*package\.json"),
    "a file is renamed": (lambda f: (f / "package.json").rename(f / "p.json"), r"Extra files.*Missing files"),
    "a file became a link": (replace_with_link, r"package\.json is a link"),
    "a folder is a link": (link_a_folder, "more is a link"),
    "a pickle is extra": (lambda f: (f / "weights.bin").write_bytes(b""), r"weights\.bin does not belong"),
    "code is extra": (lambda f: (f / "model.py").write_text(""), r"model\.py does not belong"),
    "a pipe is extra": (lambda f: os.mkfifo(f / "pipe.json"), r"pipe\.json does not belong"),
    "the signature is gone": (lambda f: (f / SIGNATURE).unlink(), "is not signed"),
    "the signature is empty": (lambda f: (f / SIGNATURE).write_text(""), "signature is damaged"),
    "the signature is other JSON": (lambda f: (f / SIGNATURE).write_text("[1]"), "signature is damaged"),
    "the signature is edited": (edit_signature, "signature is damaged"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_refused_in_one_line(folder, keys, change):
    alter, message = CHANGES[change]
    alter(folder)
    with pytest.raises(UserError, match=message) as refusal:
        verify_folder(folder, keys.public)
    assert "\n" not in str(refusal.value)


def test_the_changed_file_is_named_whatever_its_digest(folder, keys):
    # A digest whose bytes read as quotation marks changes how the library writes its complaint.
    for i in range(64):
        (folder / "package.json").write_text(str(i))
        with pytest.raises(UserError, match=r"is refused: Hash mismatch for 'package\.json'; package"):
            verify_folder(folder, keys.public)


def test_the_folder_as_signed_is_accepted_wherever_it_moves(folder, keys):
    verify_folder(folder.rename(folder.with_name("7")), keys.public)


def test_another_key_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="not the trusted one"):
        verify_folder(folder, signing_keys(tmp_path / "other").public)


def test_the_usual_tool_accepts_the_signature(folder, keys):
    command = ["verify", "key", str(folder), "--signature", str(folder / SIGNATURE), "--public_key", str(keys.public)]
    command += ["--ignore-paths", str(folder / SIGNATURE)]
    done = subprocess.run([sys.executable, "-m", "model_signing", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
