"""The pages in a real browser: no error, nothing fetched, everything seen at the width of a desk and of a telephone."""

import json
import shutil

import pytest

from report_pages import write_pages

PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
ABSENT = [name for name, path in PROGRAMS.items() if path is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(ABSENT), reason=f"{', '.join(ABSENT)} not installed (Debian: chromium chromium-driver)"),
]
PAGES = ("product", "programme", "exposures", "spectra", "pair")
WIDTHS = (1280, 390)

# texts whose contrast with what lies behind them is too low, by the formula of WCAG 2
FAINT = """
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const faint = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  if (!texts.currentNode.data.trim()) continue;
  const element = texts.currentNode.parentElement;
  let behind = element;
  while (behind && (parts(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 1) behind = behind.parentElement;
  const [a, b] = [light(parts(getComputedStyle(element).color)),
                  behind ? light(parts(getComputedStyle(behind).backgroundColor)) : 1];
  if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) faint.push(texts.currentNode.data.trim());
}
return faint;
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return write_pages(patch, tmp_path_factory.mktemp("programme"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium with an empty profile, which reports its console and what it asks the network for."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = PROGRAMS["chromium"]
    arguments = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    arguments += " disable-component-update disable-sync"
    for argument in [*arguments.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(PROGRAMS["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, pages, tmp_path):
    """Open a page alone in a folder: ``opened(name, width)``."""

    def open_page(name, width):
        alone = tmp_path / pages[name].name
        shutil.copy(pages[name], alone)
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(alone.as_uri())
        return browser

    return open_page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_alone(opened, name, width):
    driver = opened(name, width)
    assert driver.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {driver.current_url}
    images = driver.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth, i.alt])")
    assert len(images) >= 2
    for complete, natural, alternative in images:
        assert complete, alternative
        assert natural > 0, alternative
        assert alternative.strip(), "a picture says nothing to who does not see it"
    figures = driver.execute_script(
        "return [...document.querySelectorAll('figure')].map(f => f.querySelector('figcaption').innerText.trim())"
    )
    assert len(figures) == len(images)
    assert all(figures), "a picture without a caption"
    room, needed = driver.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert needed <= room <= width, "the page is wider than the window"
    links = driver.execute_script("return [...document.links].map(a => a.getAttribute('href'))")
    for link in links:
        if link.startswith("#"):
            assert driver.execute_script("return document.getElementById(arguments[0]) !== null", link[1:]), link
        else:
            assert ":" not in link, link
            assert not link.startswith("/"), link
    assert any(link.startswith("#") for link in links)
    assert driver.title.strip()
    assert driver.execute_script("return document.documentElement.lang") == "en"
    identifiers = driver.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(identifiers) == len(set(identifiers))
    driver.execute_script("document.querySelectorAll('details:not(.picture)').forEach(d => d.open = true)")
    assert driver.execute_script(FAINT) == []


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("name", ["product", "programme", "exposures", "pair"])
def test_a_thumbnail_opens_and_closes(opened, name, by_key):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    driver = opened(name, 1280)
    thumbnail = driver.find_element(By.CSS_SELECTOR, ".gallery .picture > summary")
    picture = thumbnail.find_element(By.TAG_NAME, "img")
    small = picture.size["width"]
    height = driver.execute_script("return document.documentElement.scrollHeight")
    natural = picture.get_property("naturalWidth")
    assert small < natural / 2

    def toggle():
        if by_key:
            driver.execute_script("arguments[0].focus()", thumbnail)
            driver.switch_to.active_element.send_keys(Keys.ENTER)
        else:
            driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", thumbnail)
            thumbnail.click()

    toggle()
    assert picture.size["width"] == natural
    box = thumbnail.rect
    window = driver.execute_script("return [document.documentElement.clientWidth, window.innerHeight]")
    assert [box["width"], box["height"]] == window, "it fills the window"
    assert driver.execute_script("return document.documentElement.scrollHeight") == height, "nothing moves behind it"
    toggle()
    assert picture.size["width"] == small


def test_the_programme_leads_to_its_products(opened):
    links = opened("programme", 1280).execute_script("return [...document.links].map(a => a.getAttribute('href'))")
    assert len([link for link in links if link.endswith("f200w.html")]) == 2, "of both targets"
    assert len([link for link in links if link.endswith("wfscmb-01.html")]) == 1
