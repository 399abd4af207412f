"""How far two sets of pictures lie apart, as a number of a scorecard; `distribution` measures it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Discrepancy:
    """Squared maximum mean discrepancy, between 0 (equal distributions) and 2, and its standard error."""

    value: float
    error: float
