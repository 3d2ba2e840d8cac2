"""How the VAE goes about it: picture by picture, and in tiles only where a whole picture finds no room."""

from typing import Any


class Vae:
    """The pipeline's VAE, where it has one that can do so."""

    def __init__(self, pipeline: Any) -> None:
        self._vae: Any = getattr(pipeline, "vae", None)
        self._whole_pixels: int | None = None
        # The same bytes as a picture has alone, and the memory of one picture however large the batch.
        if self._vae is not None and hasattr(self._vae, "enable_slicing"):
            self._vae.enable_slicing()

    def whole_up_to(self, pixels: int) -> None:
        """Larger pictures are made of tiles that overlap: those differ a little from the whole."""
        self._whole_pixels = pixels

    def prepare(self, pixels: int) -> None:
        """For the next run, of pictures of that size."""
        self.tile(tiled=self._whole_pixels is not None and pixels > self._whole_pixels)

    def tile(self, *, tiled: bool) -> None:
        if tiled and hasattr(self._vae, "enable_tiling"):
            self._vae.enable_tiling()
        elif hasattr(self._vae, "disable_tiling"):
            self._vae.disable_tiling()
