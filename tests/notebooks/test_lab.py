"""The notebooks as people meet them: JupyterLab in a real browser, driven over Chromium's DevTools protocol.

Skipped where there is no Chromium, or no JupyterLab.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("jupyterlab")
pytest.importorskip("ipywidgets")
websocket = pytest.importorskip("websocket")  # the client that jupyter_server depends on

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
PATIENCE = 180  # seconds, for what takes ten on an idle machine

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no browser; to have one: apt install chromium, or Google Chrome"
)


def until(condition, what):
    """The first true value of ``condition()``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    pytest.fail(f"waited {PATIENCE} s in vain for {what}")


class Page:
    """A tab of the browser."""

    def __init__(self, url):
        self.socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True)
        self.numbers = itertools.count()

    def call(self, command, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": command, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:  # the others are events
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script):
        """The value of an expression, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def mouse(self, kind, x, y):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        assert path.stat().st_size > 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What JupyterLab shows: copies, for a notebook that is run is saved."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "notebooks/00_quickstart.ipynb", folder)
    return folder


@pytest.fixture(scope="module")
def lab(folder, tmp_path_factory):
    """Address of a JupyterLab of its own, with a token and none of the user's settings, and the token."""
    own = tmp_path_factory.mktemp("jupyter")
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places = (*places, "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {place: str(own / place) for place in places}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "JUPYTER_TOKEN": "only-this-test"}
    news = own / "JUPYTERLAB_SETTINGS_DIR/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ip=127.0.0.1", "--port=0", f"--ServerApp.root_dir={folder}"]
    with open(own / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:

        def record():
            assert server.poll() is None, (own / "log").read_text()
            for file in (own / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"):
                try:
                    return json.loads(file.read_text())
                except ValueError:  # half written
                    return None

        url = until(record, "JupyterLab")["url"]
        yield url, environment["JUPYTER_TOKEN"]
    finally:
        server.terminate()  # its kernels go with it
        server.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Address of a headless Chromium."""
    profile = tmp_path_factory.mktemp("chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=1300,1000"]
    chromium = subprocess.Popen([CHROMIUM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        until(lambda: port.exists() and len(port.read_text().splitlines()) == 2, "Chromium")
        yield f"http://127.0.0.1:{port.read_text().split()[0]}"
    finally:
        chromium.terminate()
        chromium.wait(30)


@pytest.fixture
def page(browser):
    """A tab of its own: one that leaves a notebook behind would be asked whether to save it."""
    new = urllib.request.Request(f"{browser}/json/new", method="PUT")
    with urllib.request.urlopen(new) as answer:
        page = Page(json.load(answer)["webSocketDebuggerUrl"])
    page.call("Emulation.setFocusEmulationEnabled", enabled=True)  # JupyterLab's current notebook is the one in focus
    yield page
    page.socket.close()


def run_all(page, lab, name):
    """Open a notebook, run all its cells by the menu's command and give it as JupyterLab's model then holds it."""
    url, token = lab
    page.call("Page.navigate", url=f"{url}lab/tree/{name}?reset&token={token}")
    ready = f"""(async () => {{
        const panels = [...(window.jupyterapp?.shell.widgets("main") ?? [])];
        window.panel = panels.find(panel => panel.context?.path === "{name}");
        if (!window.panel) return false;
        await panel.context.ready;
        await panel.sessionContext.ready;
        jupyterapp.shell.activateById(panel.id);
        return Boolean(panel.sessionContext.session?.kernel) && jupyterapp.shell.currentWidget === panel;
    }})()"""
    until(lambda: page.evaluate(ready), f"{name} in JupyterLab")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    until(lambda: page.evaluate("panel.sessionContext.session.kernel.status") == "idle", "the kernel")
    return nbformat.from_dict(page.evaluate("panel.content.model.toJSON()"))


def assert_ran(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    errors = [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert not errors, errors[0].get("traceback")


def test_the_quickstart_runs_in_jupyterlab(page, lab, folder, tmp_path):
    saved = nbformat.read(folder / "00_quickstart.ipynb", 4)
    for cell in saved.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None  # what is seen is then of this run
    nbformat.write(saved, folder / "00_quickstart.ipynb")
    ran = run_all(page, lab, "00_quickstart.ipynb")
    page.screenshot(tmp_path / "quickstart.png")
    assert_ran(ran)
    assert ran.cells[-1].outputs[0].text == "merged model better than the pretrained one: True\n"
    drawn = "[...document.querySelectorAll('.jp-OutputArea-output img')].some(image => image.naturalWidth > 300)"
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 600)")
    until(lambda: page.evaluate(drawn), "the figure")
    page.screenshot(tmp_path / "figure.png")


STAND_INS = """
import numpy as np, pandas as pd
alphas = [0.0, 0.5, 1.0]
total = pd.DataFrame({"L0": [0.2, 0.1, 0.0], "L1": [0.0, 0.1, 0.2]}, index=alphas)
along = pd.DataFrame({"old tasks": [40, 60, 80], "new task": [90, 70, 50]}, index=alphas)
"""

BAR = """
import time
from tqdm import tqdm
for _ in tqdm(range(5), desc="merging", mininterval=0):
    time.sleep(0.05)
"""


def test_the_slider_moves_its_output_and_a_progress_bar_stays_one_line(page, lab, folder, tmp_path):
    front = nbformat.read(ROOT / "notebooks/04_pareto_front.ipynb", 4)
    (slider,) = (cell.source for cell in front.cells if cell.cell_type == "code" and "FloatSlider(" in cell.source)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (STAND_INS, slider, BAR)])
    notebook.metadata.kernelspec = front.metadata.kernelspec
    nbformat.write(notebook, folder / "slider.ipynb")
    assert_ran(run_all(page, lab, "slider.ipynb"))

    text = "document.querySelector('.widget-html-content')?.innerText"
    until(lambda: "a = 0.50" in (page.evaluate(text) or ""), "the slider's first output")
    box = "(({x, y, width, height}) => [x + width / 2, y + height / 2])"
    x, y = page.evaluate(f"{box}(document.querySelector('.widget-slider .noUi-handle').getBoundingClientRect())")
    page.mouse("mousePressed", x, y)
    for step in range(1, 6):
        page.mouse("mouseMoved", x + 10 * step, y)
    page.mouse("mouseReleased", x + 50, y)
    # outputs follow one after another while the slider moves; the last one is of where it stands
    readout = "document.querySelector('.widget-readout').innerText"
    assert 0.5 < float(page.evaluate(readout)) <= 1
    until(lambda: f"a = {page.evaluate(readout)}:" in page.evaluate(text), "the output of where the slider stands")
    assert page.evaluate(text).count("L0 about") == 1  # it replaces the one before
    page.screenshot(tmp_path / "slider.png")

    bar = page.evaluate("[...document.querySelectorAll('.jp-OutputArea-output pre')].at(-1).textContent").strip()
    assert bar.startswith("merging: 100%") and "5/5" in bar and "\n" not in bar and "\r" not in bar
