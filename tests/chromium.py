"""A real headless Chromium, driven over a pipe with the DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
MISSING = "no Chromium: apt-get install chromium"
AXE = os.environ.get("AXE_CORE")  # axe.min.js, which checks pages by WCAG; .ci/run fetches it
NO_AXE = "AXE_CORE does not name axe.min.js: npm pack axe-core"
AXE_RUN = """axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}, resultTypes: ["violations"]})
.then(found => found.violations.map(rule => [rule.id, ...rule.nodes.slice(0, 5).map(node => `${node.target.join(" ")}: ${node.failureSummary}`)]))"""
PATIENCE = 60.0  # seconds for an answer


class Chromium:
    """One page. `events` has what the browser reported: requests, messages of the console, errors."""

    def __init__(self) -> None:
        assert PROGRAM is not None, MISSING
        self.profile = tempfile.mkdtemp(prefix="chromium")
        to_browser, self.out = os.pipe()
        self.incoming, from_browser = os.pipe()
        command = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                   f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "--hide-scrollbars", "about:blank"]  # fmt: skip
        # The protocol's file descriptors are 3 and 4.
        shell = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.out)
        os.close(self.incoming)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        import select

        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.incoming], [], [], PATIENCE)
            assert ready, "Chromium does not answer"
            read = os.read(self.incoming, 1 << 16)
            assert read, "Chromium has ended"
            self.buffer += read
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def show(
        self, page: Path, width: int = 1440, height: int = 900, *, dark: bool = False, script: bool = True
    ) -> float:
        """Open a file in a window of this size. Returns the seconds until it was loaded and drawn."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])  # fmt: skip
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        began = time.monotonic()
        self("Page.navigate", url=page.absolute().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        if script:
            self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return time.monotonic() - began

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def violations(self) -> list[list[str]]:
        """Return the rules of WCAG 2.1 A and AA that the page breaks, each with some of the elements, by axe-core."""
        assert AXE is not None, NO_AXE
        self.value(Path(AXE).read_text(encoding="utf-8") + ";1")
        found: list[list[str]] = self.value(AXE_RUN)
        return found

    def press(self, key: str) -> None:
        """Press and release a key, by its name."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **(text if kind == "keyDown" else {}))  # fmt: skip

    def point(self, x: float, y: float) -> None:
        """Move the pointer."""
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def requests(self) -> list[str]:
        """The addresses that the page requested, without itself."""
        urls = [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]  # fmt: skip
        return [url for url in urls[1:] if not url.startswith("data:")]

    @property
    def errors(self) -> list[str]:
        """What the console shows, and exceptions."""
        names = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in names]
