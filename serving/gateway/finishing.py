"""From pixels to the file that is handed out: guarded, signed, encoded."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rats_train.files import sha256_file
from serving.gateway.nsfw import NsfwGuard
from serving.gateway.provenance import Claim, Signer
from serving.package.contents import Package
from serving.package.signature import SIGNATURE
from serving.pictures import encode
from serving.protocol import Format, Job
from serving.triton.client import Picture


@dataclass(frozen=True)
class Finisher:
    """Makes files of pixels; slow, so call it from a thread of its own."""

    signer: Signer | None = None
    guard: NsfwGuard | None = None

    def file(self, package: Package, job: Job, picture: Picture, output_format: Format) -> bytes | None:
        """The file of a picture or preview, None if it is withheld."""
        pixels = picture.pixels
        if self.guard is not None and self.guard.withholds(pixels):
            return None
        if self.signer is None:
            return encode(pixels, output_format)
        claim = Claim(
            package.model, package.version, _package_digest(package.path), job.seed, job.steps, picture.step
        )  # fmt: skip
        return self.signer.signed_file(pixels, output_format, claim)


@cache  # a version's files never change
def _package_digest(path: Path) -> str:
    return sha256_file(path / SIGNATURE)
