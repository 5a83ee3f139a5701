"""Takes the pictures of the page at `/` that the docs show: `python -m tests.support.page_pictures URL`, with a gateway
there that serves all-MiniLM-L6-v2."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.chromium import Browser, chromium

FOLDER = Path(__file__).resolve().parents[2] / "docs/images"
COLOURS = 160
# The times in a picture are those of a gateway that has been asked before.
WARM_UP = 4
# By file: which example, in dark or not, how much of the page.
PICTURES = {
    "page-light.png": (0, False, 1280, 1000),
    "page-dark.png": (1, True, 1280, 1000),
    "page-late-chunking.png": (2, False, 1280, 760),
}


def picture(browser: Browser, url: str, *, example: int, dark: bool, size: tuple[int, int]) -> Image.Image:
    with browser.tab(width=size[0], height=size[1], dark=dark, still=True) as tab:
        tab.open(url)
        tab.wait("!document.querySelector('#model').disabled")
        for _ in range(WARM_UP):
            tab.evaluate(f"document.querySelectorAll('#examples button')[{example}].click()")
            tab.wait("document.querySelector('#shown:not([hidden], [aria-busy])')")
        tab.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
        return Image.open(io.BytesIO(tab.screenshot()))


def main(url: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        for name, (example, dark, width, height) in PICTURES.items():
            image = picture(browser, url, example=example, dark=dark, size=(width, height))
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/") + "/")
