"""How figures are written wherever they are shown: a row a column."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        title: what is measured.
        unit: of it; empty without one.
        digits: behind the point.
        higher: whether more is better.
    """

    title: str
    unit: str = ""
    digits: int = 4
    higher: bool = True

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


COLUMNS = {
    "psnr": Column("PSNR", "dB", digits=2),
    "ssim": Column("SSIM"),
    "lpips": Column("LPIPS", higher=False),
    "change": Column("LPIPS to input", higher=False),
    "dists": Column("DISTS", higher=False),
    "vif": Column("VIF"),
    "brisque": Column("BRISQUE", digits=2, higher=False),
    "psnr_hole": Column("PSNR of holes", "dB", digits=2),
    "fid": Column("FID", digits=2, higher=False),
    "kid": Column("KID", digits=5, higher=False),
    "spread": Column("Spread", "of 255", digits=2),
    "calibration": Column("Calibration", digits=2),
    "coverage": Column("Coverage", digits=3),
    "width": Column("Interval", "of 255", digits=1, higher=False),
}
