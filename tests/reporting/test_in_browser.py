"""The page in a real browser: nothing leaves it, nothing of it runs but its own script, everybody can use it."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from nlcli.reporting.config import Report
from nlcli.reporting.write_page import write_report
from worlds.reported import HOSTILE, whole_story

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="there is no Chromium with its driver")
webdriver = pytest.importorskip("selenium.webdriver")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("story")
    given = whole_story(root, HOSTILE)
    return write_report(Report(directories=tuple(given), output=root / "report.html", thumbnails=40))


def opened(browser: Any, page: Path, *, width: int = 1280, dark: bool = False, script: bool = True) -> Any:
    browser.get_log("performance"), browser.get_log("browser")  # what came before
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [scheme]})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    browser.get(page.as_uri())
    return browser


def requests(browser: Any) -> list[str]:
    """The addresses that were asked for since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def test_nothing_is_asked_of_the_network(browser: Any, page: Path) -> None:
    opened(browser, page)
    asked = requests(browser)
    assert asked, "the log tells of the page itself, or it tells nothing"
    assert all(address.startswith(("file:", "data:")) for address in asked), asked
    assert [address for address in asked if address.startswith("file:")] == [page.as_uri()]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_axe_has_nothing_to_say(browser: Any, page: Path, width: int, dark: bool) -> None:
    opened(browser, page, width=width, dark=dark)
    axe = resources.files("axe_selenium_python") / "node_modules" / "axe-core" / "axe.min.js"
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found_out = browser.execute_async_script("const done = arguments[0]; axe.run().then(done, (e) => done(String(e)));")
    assert found_out["passes"], "axe did not run"
    told = [(v["id"], v["help"], [n["html"][:120] for n in v["nodes"]][:3]) for v in found_out["violations"]]
    assert told == []


def test_names_are_text(browser: Any, page: Path) -> None:
    opened(browser, page)
    assert "which labels are wrong" in browser.title, "nothing of a name ran"
    assert browser.execute_script("return document.scripts.length") == 2, "the page's own, and its record"
    sources = browser.execute_script("return [...document.images].map((image) => image.src.slice(0, 23))")
    assert set(sources) == {"data:image/jpeg;base64,"}
    text = browser.find_element("tag name", "body").text
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[5]):
        assert name in text
    assert "\u202e" not in browser.page_source
    assert "cat?gpj.exe" in text
    links = browser.execute_script("return [...document.links].map((link) => link.protocol)")
    assert set(links) == {"file:"}


def test_nothing_is_said_on_the_console(browser: Any, page: Path) -> None:
    opened(browser, page)
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("width", [400, 800])
def test_the_page_is_as_wide_as_the_window(browser: Any, page: Path, width: int, script: bool) -> None:
    opened(browser, page, width=width, script=script)
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    assert size["width"] <= width


def test_headings_sort_by_keyboard(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    table = browser.find_element("xpath", "//section[@id='models']//table")

    def column() -> list[str]:
        return [
            row.find_elements("css selector", "th, td")[0].text
            for row in table.find_elements("css selector", "tbody tr")
        ]

    before = column()
    assert len(before) == 3
    button = table.find_element("css selector", "thead th button")
    button.send_keys(Keys.ENTER)
    assert column() == sorted(before)
    assert table.find_element("css selector", "thead th").get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert column() == sorted(before, reverse=True)
    numbers = table.find_elements("css selector", "thead th button")[3]
    numbers.send_keys(Keys.ENTER)
    cells = [
        float(cell.get_attribute("data-sort")) for cell in table.find_elements("css selector", "tbody td:nth-child(4)")
    ]
    assert cells == sorted(cells, reverse=True), "numbers begin with the largest"


def test_answers_of_people_are_reached_and_sorted_by_keyboard(browser: Any, page: Path) -> None:
    """Names of people are text; numbers sort by what they are, not by how they are written."""
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)
    browser.find_element("css selector", "nav a[href='#checked']").send_keys(Keys.ENTER)
    assert browser.execute_script("return location.hash") == "#checked"
    section = browser.find_element("id", "checked")
    assert HOSTILE[0] in section.text
    assert section.find_elements("tag name", "script") == []
    table = section.find_element("xpath", ".//table[caption='Expected against found, by how the images were chosen']")

    def column(number: int) -> list[str]:
        cells = table.find_elements("css selector", f"tbody tr > :nth-child({number})")
        return [cell.text for cell in cells]

    assert column(1) == ["errors", "random"]
    assert column(3) == ["20.0", "15.0"]
    heading = table.find_elements("css selector", "thead th button")[3]
    heading.send_keys(Keys.ENTER)
    assert column(4) == ["18", "16"], "numbers begin with the largest"
    assert column(1) == ["random", "errors"]
    plots = section.find_elements("css selector", "svg[role=img]")
    assert [plot.get_attribute("aria-label").split(":")[0] for plot in plots] == ["Calibration"]


def test_pictures_are_filtered_by_class_and_word(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    opened(browser, page)

    def shown() -> list[str]:
        cards = browser.find_elements("css selector", "#gallery-changed > li:not([hidden])")
        return [card.get_attribute("data-classes") for card in cards]

    assert len(shown()) > 3
    tools = browser.find_element("css selector", "#gallery-changed").find_element("xpath", "preceding-sibling::div[1]")
    chosen = Select(tools.find_element("tag name", "select"))
    chosen.select_by_index(1)
    name = chosen.first_selected_option.text.rpartition(" (")[0]
    assert shown()
    assert all(name.strip() in " ".join(classes.split()) for classes in shown())
    chosen.select_by_index(0)
    browser.find_element("tag name", "body").send_keys("/")
    browser.execute_script("arguments[0].focus()", tools.find_element("tag name", "input"))
    browser.switch_to.active_element.send_keys("no such word")
    assert shown() == []
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert len(shown()) > 3


def test_without_a_script_everything_is_there(browser: Any, page: Path) -> None:
    opened(browser, page, script=False)
    metrics = browser.execute_cdp_cmd("DOM.getDocument", {"depth": -1})
    text = json.dumps(metrics)
    assert text.count('"IMG"') >= 35
    assert '"BUTTON"' not in text, "what only a script could do is not offered"


def test_it_prints(browser: Any, page: Path) -> None:
    opened(browser, page)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF")
    pictures = len(re.findall(rb"/Subtype\s*/Image", content))
    assert pictures >= len(browser.find_elements("tag name", "img")) - 1, "also those that were not scrolled to"
    assert browser.execute_script("return document.querySelectorAll('details[open]').length") == 0, "as it was before"


@pytest.mark.slow
def test_fifteen_megabytes_open_in_two_seconds(browser: Any, tmp_path: Path) -> None:
    from worlds.reported import PLAIN, reported_dataset, reported_detection, reported_table

    dataset = reported_dataset(tmp_path, PLAIN, images=750, side=240)
    detection = reported_detection(tmp_path, reported_table(tmp_path / "photos", PLAIN, 750))
    page = write_report(Report(directories=(dataset, detection), output=tmp_path / "large.html", thumbnails=300))
    size = page.stat().st_size
    assert 8_000_000 < size < 15_500_000, "the worst that 300 pictures can be"
    took = []
    for _ in range(3):  # other programs may be busy
        opened(browser, page)
        took.append(
            browser.execute_script("const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd")
        )
    assert min(took) < 2000, took
