"""The page in a real Chromium: everything a reader does, with no network and nothing on the console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import store

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
UNFOLD = (
    "document.querySelectorAll('details').forEach(fold => { fold.open ||= !!fold.querySelector('.chart'); })"
)
ALL_DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.dataset.state === 'drawn')"
INKS = {"light": "rgb(29, 35, 41)", "dark": "rgb(232, 235, 238)"}
PAPERS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield browser
        browser.close()


class Reader:
    """A page that is open, and all that it complained about or asked for since."""

    def __init__(
        self, browser: sync_api.Browser, page: Path, width: int, scheme: str = "light", **more: bool
    ):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
        context.set_default_timeout(120_000)
        self.tab = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.address = page.as_uri()
        self.tab.goto(self.address)

    def read_all(self) -> None:
        """Open all folds with charts, and scroll to the end as a person does until every chart is there."""
        self.tab.evaluate(UNFOLD)
        for _ in range(200):
            self.tab.mouse.wheel(0, 700)
            self.tab.wait_for_timeout(30)
            if self.tab.evaluate(ALL_DRAWN):
                return
        self.wait_for(ALL_DRAWN)

    def wait_for(self, condition: str) -> None:
        """Ask until `condition` holds; playwright's own wait would need `eval`, which the page forbids."""
        for _ in range(600):
            if self.tab.evaluate(condition):
                return
            self.tab.wait_for_timeout(100)
        pytest.fail(f"never came true: {condition}")

    def wait_for_ink(self, scheme: str) -> None:
        """Until the scale of every chart has that scheme's colour."""
        ink = "getComputedStyle(chart.querySelector('.xtick text')).fill"
        self.wait_for(f"[...document.querySelectorAll('.chart')].every(chart => {ink} === '{INKS[scheme]}')")

    def overflow(self) -> int:
        """Pixels by which the document is wider than the window."""
        return int(self.tab.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def looked_at(self, where: Path) -> None:
        """A screenshot to look at; the test's directory keeps it."""
        self.tab.screenshot(path=str(where), full_page=False)


@pytest.fixture
def closing() -> Iterator[list[Reader]]:
    readers: list[Reader] = []
    yield readers
    for reader in readers:
        reader.tab.context.close()


@pytest.fixture(scope="module")
def at_a_desk(browser: sync_api.Browser, page: Path) -> Reader:
    """Who read the whole page, for tests that change nothing which another one looks at: it takes 5 s."""
    reader = Reader(browser, page, 1280)
    reader.read_all()
    return reader


@pytest.fixture(scope="module")
def on_a_phone(browser: sync_api.Browser, page: Path) -> Reader:
    reader = Reader(browser, page, 360, "dark")
    reader.read_all()
    return reader


@pytest.mark.parametrize(
    ("where", "first", "then"), [("at_a_desk", "light", "dark"), ("on_a_phone", "dark", "light")]
)
def test_a_reader_sees_every_chart_in_both_schemes_and_asks_nobody(
    request: pytest.FixtureRequest, tmp_path: Path, where: str, first: str, then: str
) -> None:
    reader: Reader = request.getfixturevalue(where)
    for scheme in (first, then):
        reader.tab.emulate_media(color_scheme=scheme)
        reader.wait_for_ink(scheme)
        reader.looked_at(tmp_path / f"{where}-{scheme}.png")

        assert reader.tab.evaluate("getComputedStyle(document.body).backgroundColor") == PAPERS[scheme]
        assert reader.overflow() <= 0
    assert reader.complaints == []
    assert [url for url in reader.requests if not url.startswith(("data:", "blob:"))] == [reader.address]


def test_everything_that_opens_opens_and_fits_a_phone(on_a_phone: Reader) -> None:
    on_a_phone.tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = false")
    summaries = on_a_phone.tab.locator("summary")
    for place in range(summaries.count()):
        summaries.nth(place).press("Enter")

    assert on_a_phone.tab.locator("details[open]").count() == summaries.count() > 10
    assert on_a_phone.overflow() <= 0
    assert on_a_phone.complaints == []


def test_another_metric_is_drawn_when_chosen(at_a_desk: Reader) -> None:
    chart = at_a_desk.tab.locator("#order-chart")
    before = chart.inner_html()
    at_a_desk.tab.locator("#order-metric").select_option(label="cpu.integer")
    at_a_desk.wait_for("document.querySelector('#order-chart .ytitle')?.textContent.includes('events/s')")

    assert chart.inner_html() != before
    assert at_a_desk.complaints == []


def test_the_raw_data_can_be_taken_away(at_a_desk: Reader, run_dir: Path, tmp_path: Path) -> None:
    with at_a_desk.tab.expect_download() as waiting:
        at_a_desk.tab.get_by_role("link", name=store.SAMPLES).click()
    waiting.value.save_as(tmp_path / "taken.parquet")

    assert waiting.value.suggested_filename.endswith(f"-{store.SAMPLES}")
    assert (tmp_path / "taken.parquet").read_bytes() == (run_dir / store.SAMPLES).read_bytes()


def test_the_keyboard_reaches_the_results_first(
    browser: sync_api.Browser, page: Path, closing: list[Reader]
) -> None:
    reader = Reader(browser, page, 1280)
    closing.append(reader)
    reader.tab.keyboard.press("Tab")
    assert reader.tab.evaluate("document.activeElement.className") == "skip"

    reader.tab.keyboard.press("Enter")
    assert reader.tab.evaluate("location.hash") == "#main"


def test_paper_gets_every_chart_in_light_colours(
    browser: sync_api.Browser, page: Path, tmp_path: Path, closing: list[Reader]
) -> None:
    reader = Reader(browser, page, 1280, "dark")
    closing.append(reader)
    reader.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    reader.wait_for(ALL_DRAWN)
    reader.wait_for_ink("light")

    assert len(reader.tab.pdf(path=str(tmp_path / "page.pdf"))) > 100_000
    assert reader.complaints == []


def test_without_scripts_the_numbers_are_there(
    browser: sync_api.Browser, page: Path, closing: list[Reader]
) -> None:
    reader = Reader(browser, page, 1280, java_script_enabled=False)
    closing.append(reader)
    figure = reader.tab.locator("#phases-title").locator("xpath=ancestor::figure")

    assert reader.tab.locator("noscript p").is_visible()
    assert figure.locator("td").first.is_visible()
    assert not figure.locator(".chart").is_visible()


def test_a_page_is_short_enough_for_a_phone(
    browser: sync_api.Browser, page: Path, closing: list[Reader]
) -> None:
    reader = Reader(browser, page, 390)
    closing.append(reader)

    assert reader.tab.evaluate("document.documentElement.scrollHeight") < 18_500
    assert reader.overflow() <= 0


def test_a_link_to_a_sentence_unfolds_it(
    browser: sync_api.Browser, page: Path, closing: list[Reader]
) -> None:
    reader = Reader(browser, page, 1280)
    closing.append(reader)
    fold = reader.tab.locator("#claim-performance")
    assert fold.get_attribute("open") is None

    reader.tab.locator(".matrix a[href='#claim-performance']").click()
    reader.wait_for("document.getElementById('claim-performance').open")
