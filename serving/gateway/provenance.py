"""Where a picture comes from, signed and inside the file: what drew it, how, and the digest of its very pixels.

It is an XMP packet, which PNG, WebP and JPEG all carry. Its IPTC digital source type marks the picture as made by a
model for any program that knows the standard; a claim and its signature are ours, and `rats verify-image` checks them.
The prompt is not in it. Nor is the time, so that the same request gives the same bytes.

The key is one of its own, `pictures.pem`: a server needs it, and must not hold the one that packages are signed with.
"""

import base64
import binascii
import hashlib
import html
import io
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from rats_train.errors import UserError
from serving.keys import key_folder, signing_keys
from serving.pictures import encode
from serving.protocol import Format

KEY_NAME: Final = "pictures"
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_PACKET: Final = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:rats="urn:rats-train:provenance:1"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    rats:Claim={claim}
    rats:Signature="{signature}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Claim:
    """What is signed about a picture.

    Attributes:
        model: name of the student.
        version: its number.
        package_sha256: of the signature over the package, which covers every weight.
        seed: of the initial noise.
        num_inference_steps: how many steps were asked for.
        step: how many the picture shows; fewer in a preview.
        pixels_sha256: of shape and pixels, as the file decodes.
    """

    model: str
    version: int
    package_sha256: str
    seed: int
    num_inference_steps: int
    step: int
    pixels_sha256: str = ""


class Signer:
    """Signs pictures with the private key in `folder` (this user's own by default), made on first use.

    Raises:
        UserError: there is none, and none can be made there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            pem = signing_keys(folder, KEY_NAME).private.read_bytes()
        except OSError as error:
            raise UserError(
                f"no key to sign pictures with: {folder or key_folder()} has no readable {KEY_NAME}.pem, and none can "
                f"be made there ({error.strerror}): start `rats serve` once where RATS_KEYS names a folder that can be "
                f"written, and bring its {KEY_NAME}.pem and {KEY_NAME}.pub.pem here"
            ) from error
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    def signed_file(self, pixels: NDArray[np.uint8], output_format: Format, claim: Claim) -> bytes:
        """The file of pixels uint8[H, W, 3] or uint8[T, H, W, 3] with its signed claim inside."""
        # The claim is about what comes out: a JPEG shows other pixels than went in, a video has equal frames merged.
        exact = pixels.ndim == 3 and output_format != "jpeg"
        shown = pixels if exact else _decoded(encode(pixels, output_format))
        text = json.dumps({**asdict(claim), "pixels_sha256": _digest(shown)}, sort_keys=True)
        signature = base64.b64encode(self._key.sign(text.encode(), _ALGORITHM)).decode()
        return encode(pixels, output_format, _PACKET.format(claim=quoteattr(text), signature=signature))


def verify_image(file: Path, folder: Path | None = None) -> Claim:
    """What is claimed about the picture in `file`, if the key in `folder` (this user's own by default) signed it so.

    Raises:
        UserError: it is no picture, carries no claim, is signed by another key, or its pixels were changed.
    """
    public = (folder or key_folder()) / f"{KEY_NAME}.pub.pem"
    if not public.is_file():
        raise UserError(f"no public key at {public}: copy the server's {KEY_NAME}.pub.pem there")
    try:
        data = file.read_bytes()
        text, signature = _claim_in(data)
        key = serialization.load_pem_public_key(public.read_bytes())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(base64.b64decode(signature), text.encode(), _ALGORITHM)
    except OSError as error:  # Pillow's "cannot identify" is one
        raise UserError(f"{file} is not a readable picture: {error.strerror or 'its format is unknown'}") from error
    except LookupError as error:
        raise UserError(f"{file} carries no claim of ours: it was not drawn here, or a program removed it") from error
    except (InvalidSignature, binascii.Error) as error:
        raise UserError(f"{file} is not signed by {public}: its claim was changed, or is another server's") from error
    claim = Claim(**json.loads(text))
    if _digest(_decoded(data)) != claim.pixels_sha256:
        raise UserError(f"{file} shows other pixels than the ones that were signed: it was edited")
    return claim


def _claim_in(data: bytes) -> tuple[str, str]:
    """The claim and its signature, base64; `LookupError` if there is none."""
    with Image.open(io.BytesIO(data)) as picture:
        packet = picture.info.get("xmp", b"")
    text = packet.decode(errors="replace") if isinstance(packet, bytes) else packet
    claim = re.search(r"""rats:Claim=("[^"]*"|'[^']*')""", text)
    signature = re.search(r'rats:Signature="([^"]*)"', text)
    if claim is None or signature is None:
        raise LookupError
    return html.unescape(claim[1][1:-1]), signature[1]


def _decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as picture:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
    return frames[0] if len(frames) == 1 else np.stack(frames)


def _digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
