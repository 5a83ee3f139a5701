"""A real headless Chromium, driven through its own protocol (CDP) over two pipes: no further package, no open port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--no-proxy-server",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
# What Chromium reads commands from and writes answers to, by its own rule.
COMMANDS, ANSWERS = 3, 4
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
TYPED = {"Enter": "\r", " ": " "}
CLIPBOARD = ["clipboardReadWrite", "clipboardSanitizedWrite"]
SHIFT = 8
SECONDS = 30.0

Message = dict[str, Any]


def missing_chromium() -> str | None:
    return None if _program() else "a browser: apt install chromium"


def _program() -> str | None:
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One running Chromium. Messages are JSON with a zero byte behind each."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands = commands
        self._answers = answers
        self._news = threading.Condition()
        self._count = 0
        self._ended = False
        self._results: dict[int, Message] = {}
        self.events: list[Message] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        waiting = b""
        while chunk := os.read(self._answers.fileno(), 1 << 20):
            *whole, waiting = (waiting + chunk).split(b"\0")
            messages = [json.loads(one) for one in whole]
            with self._news:
                self._results |= {one["id"]: one for one in messages if "id" in one}
                self.events += [one for one in messages if "id" not in one]
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def ask(self, method: str, *, session: str | None = None, **parameters: Any) -> Message:
        """What Chromium answers to a command of its protocol."""
        with self._news:
            self._count += 1
            number = self._count
            message: Message = {"id": number, "method": method, "params": parameters}
            self._commands.write(json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
            self._commands.flush()
            assert self._news.wait_for(lambda: number in self._results or self._ended, SECONDS), (
                f"no answer to {method}"
            )
            assert number in self._results, "Chromium ended"
            answer = self._results.pop(number)
        assert "error" not in answer, (method, answer["error"])
        result: Message = answer["result"]
        return result

    @contextmanager
    def tab(self, *, width: int = 1280, height: int = 900, dark: bool = False, still: bool = False) -> Iterator[Tab]:
        """An empty tab that shares nothing with others. `dark` and `still` are what its user asks of pages: a dark
        colour scheme, and no motion."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        self.ask("Browser.grantPermissions", permissions=CLIPBOARD, browserContextId=context)
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        tab = Tab(self, str(self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]))
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.ask(f"{domain}.enable")
        tab.resize(width, height)
        tab.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        wishes = {"color-scheme": "dark" if dark else "light", "reduced-motion": "reduce" if still else "no-preference"}
        tab.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": f"prefers-{name}", "value": value} for name, value in wishes.items()],
        )
        try:
            yield tab
        finally:
            self.ask("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def ask(self, method: str, **parameters: Any) -> Message:
        return self._browser.ask(method, session=self._session, **parameters)

    def events(self, method: str) -> list[Message]:
        """What this tab told under this name, so far."""
        return [
            one["params"]
            for one in list(self._browser.events)
            if one["method"] == method and one.get("sessionId") == self._session
        ]

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript, awaited. Fails where it throws."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def call(self, module: str, function: str, *arguments: Any) -> Any:
        """What a function of one of the page's own modules returns."""
        given = json.dumps(arguments)
        return self.evaluate(f"import('/page-assets/{module}').then((found) => found.{function}(...{given}))")

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"never: {condition}; {self.said()}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """All text of the first element that fits."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def fill(self, selector: str, value: str) -> None:
        """As somebody types: the element's value changes, and it tells so."""
        self.evaluate(
            f"""{{ const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};
            for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {{bubbles: true}})); }}"""
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        event = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        modifiers = SHIFT if shift else 0
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=TYPED.get(key, ""), modifiers=modifiers, **event)
        self.ask("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **event)

    def type(self, text: str) -> None:
        self.ask("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """PNG, of what is in view or of the whole page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole, format="png")["data"])

    def requested(self) -> list[str]:
        """The addresses of all that was asked for."""
        return [str(event["request"]["url"]) for event in self.events("Network.requestWillBeSent")]

    def said(self) -> list[str]:
        """Every complaint in the console: errors, warnings, exceptions, what the policy stopped, what did not load."""
        logged = [one["entry"] for one in self.events("Log.entryAdded")]
        spoken = [
            one for one in self.events("Runtime.consoleAPICalled") if one["type"] in ("error", "warning", "assert")
        ]
        return [
            *(f"{one['level']}: {one['text']}" for one in logged if one["level"] in ("error", "warning")),
            *(str([value.get("value", value.get("description")) for value in one["args"]]) for one in spoken),
            *(json.dumps(one["exceptionDetails"]) for one in self.events("Runtime.exceptionThrown")),
        ]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Runs until the block ends; `folder` is for its profile."""
    program = _program()
    assert program is not None, missing_chromium()
    their_commands, our_commands = map(_out_of_the_way, os.pipe())
    our_answers, their_answers = map(_out_of_the_way, os.pipe())
    # Chromium wants them under fixed numbers, which Popen does not offer.
    renumbered = f'exec "$0" "$@" {COMMANDS}<&{their_commands} {ANSWERS}>&{their_answers}'
    with os.fdopen(our_commands, "wb") as commands, os.fdopen(our_answers, "rb") as answers:
        process = subprocess.Popen(
            ["bash", "-c", renumbered, program, f"--user-data-dir={folder}", *OPTIONS],
            pass_fds=(their_commands, their_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_commands)
        os.close(their_answers)
        try:
            browser = Browser(commands, answers)
            yield browser
            browser.ask("Browser.close")
        finally:
            _end(process)


def _out_of_the_way(descriptor: int) -> int:
    """The same under a number that is none of Chromium's two."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
