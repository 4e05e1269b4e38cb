"""Pages in headless Chromium, driven through its debugging pipe (Chrome DevTools Protocol).

The pipe needs neither a driver nor a port: Chromium reads commands from descriptor 3 and writes answers to 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["MISSING", "Page", "browser", "executable"]

MISSING = "Chromium is missing: install it with your system's packages, for example apt-get install chromium"
TIMEOUT = 60.0  # seconds until an answer
KEYS = {  # key codes of keys without a character, and the character of those with one
    "Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, ""),
    "ArrowRight": (39, ""), "ArrowDown": (40, ""), " ": (32, " "),
}  # fmt: skip


def executable() -> str | None:
    """Return the path of Chromium, from ``CHROMIUM`` or the usual names; ``None`` if there is none."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


class Pipe:
    """Commands to Chromium and its answers and events, one at a time."""

    def __init__(self, write: int, read: int) -> None:
        self.write, self.read, self.buffer, self.count = write, read, b"", 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result.

        Raises:
            RuntimeError: Chromium refuses the command.
            TimeoutError: There is no answer.
        """
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while True:
            answer = self.message()
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self.events.append(answer)

    def message(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            if not select.select([self.read], [], [], TIMEOUT)[0]:
                raise TimeoutError(f"Chromium did not answer within {TIMEOUT:g} s")
            found = os.read(self.read, 1 << 20)
            if not found:
                raise RuntimeError("Chromium has ended")
            self.buffer += found
        text, self.buffer = self.buffer.split(b"\0", 1)
        return dict(json.loads(text))


class Page:
    """An open page.

    Args:
        pipe: Connection to Chromium.
        session: Session of the page.
    """

    def __init__(self, pipe: Pipe, session: str) -> None:
        self.pipe, self.session = pipe, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        return self.pipe.send(method, self.session, **parameters)

    def close(self) -> None:
        """Close the page."""
        self.send("Page.close")

    def open(self, address: str | Path) -> None:
        """Open a file or an address and wait until it is loaded."""
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait(self, condition: str) -> None:
        """Wait until an expression holds.

        Raises:
            TimeoutError: It does not.
        """
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            try:
                if self.evaluate(condition):
                    return
            except RuntimeError:
                pass  # the page is being replaced
            time.sleep(0.02)
        raise TimeoutError(f"{condition} does not hold after {TIMEOUT:g} s")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript.

        Raises:
            RuntimeError: It raises.
        """
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails'].get('exception', {}).get('description')}")
        return found["result"].get("value")

    def size(self, width: int, height: int = 900) -> None:
        """Set the size of the window in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, scheme: str = "light", kind: str = "screen") -> None:
        """Set the colour scheme, ``light`` or ``dark``, and the kind of media, ``screen`` or ``print``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=kind, features=features)

    def click(self, selector: str) -> None:
        """Click in the middle of the first element of a selector, after scrolling to it."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key: a name in ``KEYS``, or a character."""
        code, text = KEYS.get(key, (ord(key.upper()) if len(key) == 1 else 0, key))
        given = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def type(self, text: str) -> None:
        """Type text into the element in focus."""
        self.send("Input.insertText", text=text)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page, by default the whole of it."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as printed."""
        return base64.b64decode(self.send("Page.printToPDF")["data"])

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    @property
    def errors(self) -> list[str]:
        """Exceptions, and errors and warnings of the console, since the page was made."""
        self.evaluate("0")
        found = []
        for event in self._events():
            method, given = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                details = given["exceptionDetails"]
                found.append(str(details.get("exception", {}).get("description") or details["text"]))
            elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                found.append(f"{given['entry']['text']} {given['entry'].get('url', '')}".strip())
            elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                found.append(" ".join(str(each.get("value", each.get("description"))) for each in given["args"]))
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, but for embedded data."""
        self.evaluate("0")
        urls = [
            str(event["params"]["request"]["url"])
            for event in self._events()
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _events(self) -> list[dict[str, Any]]:
        return [event for event in self.pipe.events if event.get("sessionId") == self.session]


class Browser:
    """Headless Chromium, which opens pages.

    Args:
        pipe: Connection to it.
    """

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    def page(self, width: int = 1300, scheme: str = "light") -> Page:
        """Return an empty page of a width in pixels and a colour scheme."""
        target = self.pipe.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.pipe.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self.pipe, session)
        page.size(width)
        page.media(scheme)
        return page


@contextmanager
def browser() -> Iterator[Browser]:
    """Start headless Chromium; end it on leaving.

    Raises:
        RuntimeError: There is none.
    """
    path = executable()
    if path is None:
        raise RuntimeError(MISSING)
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    # above 9, so that moving one to 3 or 4 overwrites none of the others
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs_in, theirs_out)]
    os.close(theirs_in), os.close(theirs_out)

    def descriptors() -> None:
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [
            path, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(3, 4), preexec_fn=descriptors,
        )  # fmt: skip
        for each in high:
            os.close(each)
        pipe = Pipe(ours_out, ours_in)
        try:
            yield Browser(pipe)
        finally:
            try:
                pipe.send("Browser.close")
                process.wait(10)
            except (RuntimeError, TimeoutError, OSError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            os.close(ours_out), os.close(ours_in)
