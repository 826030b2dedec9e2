"""Results are signed by the C2PA's library, with what made them and from what."""

import io
import json
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from irsde_cli.extras import EXTRAS
from tests.cli.stub import call, picture

here = pytest.mark.skipif(
    not EXTRAS["c2pa"].here or find_spec("cryptography") is None, reason="needs the extra irsde[c2pa]"
)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A chain of two certificates, as the C2PA wants them, with the signer's key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests")]
        )
        for name in ("root", "signer")
    ]
    now = datetime.now(UTC)

    def certificate(index: int) -> Any:
        usage = [index == 1, False, False, False, False, index == 0, index == 0, False, False]
        built = (
            x509.CertificateBuilder()
            .subject_name(names[index])
            .issuer_name(names[0])
            .public_key(keys[index].public_key())
            .serial_number(index + 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(index == 0, None), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[index].public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if index:
            usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            built = built.add_extension(usages, critical=False)
        return built.sign(keys[0], hashes.SHA256())

    encoding = serialization.Encoding.PEM
    key = keys[1].private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = b"".join(certificate(index).public_bytes(encoding) for index in (1, 0))
    (tmp_path / "signer.pem").write_bytes(chain + key)
    return tmp_path / "signer.pem"


@here
@pytest.mark.parametrize(("suffix", "mime"), [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp")])
def test_a_signed_result_says_from_what_and_by_what(suffix: str, mime: str, pem: Path, tmp_path: Path) -> None:
    """The library's own reader finds a valid signature, the input as its parent, and the record; it is made again."""
    import c2pa

    picture(tmp_path / "coarse.jpg", 40, 32, quality=15)
    result = tmp_path / f"out.{suffix}"
    call("restore", tmp_path / "coarse.jpg", result, "--task", "jpeg", "--steps", "1", "--c2pa", pem)
    found = json.loads(c2pa.Reader(mime, io.BytesIO(result.read_bytes())).json())
    manifest = found["manifests"][found["active_manifest"]]
    assert found["validation_state"] == "Valid"
    assert [one["title"] for one in manifest["ingredients"]] == ["coarse.jpg"]
    assert manifest["ingredients"][0]["relationship"] == "parentOf"
    held = {one["label"]: one["data"] for one in manifest["assertions"]}
    assert held["org.irsde.made"]["settings"]["task"] == "jpeg"
    actions = held["c2pa.actions.v2"]["actions"]
    assert [one["action"] for one in actions] == ["c2pa.opened", "c2pa.edited"]
    assert "same pixels" in call("env", "--file", result, "--original", tmp_path / "coarse.jpg").stdout


@here
def test_what_cannot_sign_is_said_before_anything_is_done(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    words = ("restore", tmp_path / "a.png", tmp_path / "out", "--task", "jpeg", "--c2pa")
    (tmp_path / "empty.pem").write_text("nothing")
    assert "no PEM file with certificates" in call(*words, tmp_path / "empty.pem", code=2).stderr
    assert not (tmp_path / "out").exists()


@here
def test_a_format_that_cannot_be_signed_fails(pem: Path, tmp_path: Path) -> None:
    picture(tmp_path / "coarse.jpg", 40, 32, quality=15)
    words = ("restore", tmp_path / "coarse.jpg", tmp_path / "out", "--task", "jpeg", "--steps", "1", "--c2pa", pem)
    assert "a BMP cannot be signed" in call(*words, "--format", "bmp", code=3).stderr


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(EXTRAS["c2pa"]), "here", property(lambda _: False))
    picture(tmp_path / "a.png")
    words = ("restore", tmp_path / "a.png", tmp_path / "out", "--task", "jpeg", "--c2pa", tmp_path / "a.pem")
    assert "--c2pa needs c2pa-python" in call(*words, code=5).stderr
