"""The report page in a real browser, from disk."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from irsde_cli.workflows.report import Report

COUNT = 7
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'#%.png"


def write(folder: Path, count: int = COUNT, *, side: int = 48) -> Path:
    """A page whose picture n gains n - 2 dB with ours, and 0.5 dB less with theirs."""
    report = Report(folder, "a report")
    for index in range(count):
        key = HOSTILE if index == 3 else f"deep/picture {index}"
        clean = torch.rand(1, 3, side, side * 2, generator=torch.Generator().manual_seed(index))
        report.pictures(key, {"clean": clean, "input": clean * 0.5, "ours": clean * 0.9, "theirs": clean * 0.8})
        figures: dict[str, dict[str, float | None]] = {
            "input": {"psnr": 20.0, "ssim": 0.5},
            "ours": {"psnr": 18.0 + index, "ssim": None},
        }
        report.figures(key, figures | {"theirs": {"psnr": 17.5 + index, "ssim": 0.7}})
    return report.write("a caption with <b>no markup</b>", [("lost.png", "it has no partner.")])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", "window-size=1200,900",
                 f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver_ = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver_
    driver_.quit()


def names(browser: Any) -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('#list .name')].map((node) => node.textContent)"
    )
    return found


def css(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def choose(browser: Any, selector: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(css(browser, selector)).select_by_visible_text(text)


def quiet(browser: Any) -> None:
    """No message of the page is an error."""
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture
def opened(browser: Any, page: str) -> Any:
    browser.get(page)
    return browser


def test_worst_comes_first_and_sorting_sorts(opened: Any) -> None:
    """By the gain of the first system; then by name, by another figure, and by a part of the name."""
    expected = [HOSTILE if index == 3 else f"deep/picture {index}" for index in range(COUNT)]
    assert names(opened) == expected
    assert css(opened, "#list .key").text == "\u22122.00 dB"
    css(opened, "#turn").click()
    assert names(opened) == expected[::-1]
    css(opened, "#turn").click()
    choose(opened, "#sort", "Gain of theirs")
    assert css(opened, "#list .key").text == "\u22122.50 dB"
    choose(opened, "#sort", "theirs against ours")
    assert css(opened, "#list .key").text == "\u22120.50 dB"
    choose(opened, "#sort", "Name")
    assert names(opened)[0] == HOSTILE
    css(opened, "#find").send_keys("PICTURE 4")
    assert names(opened) == ["deep/picture 4"]
    assert css(opened, "#count").text == f"1 of {COUNT} pictures"
    quiet(opened)


def test_the_slider_moves_by_mouse_and_by_key(opened: Any) -> None:
    """It uncovers the other picture; its value is there for those who cannot see it."""
    from selenium.webdriver import ActionChains

    handle = css(opened, "#handle")
    assert handle.get_attribute("role") == "slider"
    before = opened.execute_script("return getComputedStyle(document.querySelector('.layer.top')).clipPath")
    ActionChains(opened).click_and_hold(handle).move_by_offset(120, 0).release().perform()
    after = opened.execute_script("return getComputedStyle(document.querySelector('.layer.top')).clipPath")
    assert before != after
    moved = int(handle.get_attribute("aria-valuenow"))
    assert moved > 55
    press(opened, "\ue012", "\ue012")  # left arrow
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(moved - 4, abs=1)
    quiet(opened)


def test_zoom_moves_all_views_together(opened: Any) -> None:
    """Side by side, every picture has the same transformation before and after a zoom."""
    press(opened, "b")
    images = opened.find_elements("css selector", "#stage .view img")
    assert len(images) == 4
    before = {image.value_of_css_property("transform") for image in images}
    press(opened, "+")
    after = {image.value_of_css_property("transform") for image in images}
    assert len(before) == len(after) == 1
    assert before != after
    press(opened, "0")
    assert {image.value_of_css_property("transform") for image in images} == before
    quiet(opened)


def test_pictures_figures_and_error_maps(opened: Any) -> None:
    """All pictures load from disk; figures are those of the picture; the error map is another picture."""
    press(opened, "b")
    time.sleep(0.3)
    loaded = opened.execute_script(
        "return [...document.querySelectorAll('#stage img')].every((i) => i.naturalWidth > 0)"
    )
    assert loaded
    assert "18.00" in css(opened, "#figures").text and "\u2013" in css(opened, "#figures").text
    before = css(opened, "#stage .view img").get_attribute("src")
    press(opened, "e")
    after = css(opened, "#stage .view img").get_attribute("src")
    assert before != after and after.endswith("-error.webp")
    press(opened, "\ue015")  # down arrow
    assert css(opened, "#name").text == "deep/picture 1"
    assert "19.00" in css(opened, "#figures").text
    quiet(opened)


def test_names_are_text(opened: Any) -> None:
    """What looks like markup in a name, a caption or a reason stays text, and no script of it runs."""
    assert HOSTILE in names(opened)
    assert opened.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert "<b>no markup</b>" in css(opened, "#caption").text
    assert "lost.png: it has no partner." in css(opened, "#problems").text
    quiet(opened)


def test_dots_lead_to_their_pictures(opened: Any) -> None:
    """A dot for each picture and system; a click shows it."""
    figures = opened.find_elements("css selector", "#plots figure")
    dots = [len(figure.find_elements("css selector", "circle")) for figure in figures]
    assert dots == [COUNT, COUNT, COUNT]
    assert "better on 0 of 7" in figures[2].text
    opened.execute_script("document.querySelector('circle[data-row=\"5\"]').dispatchEvent(new MouseEvent('click'))")
    assert css(opened, "#name").text == "deep/picture 5"


def test_small_screens_and_dark_rooms(opened: Any) -> None:
    """Nothing is wider than a telephone; the dark palette is taken where the system asks for it."""
    light = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert opened.execute_script("return getComputedStyle(document.body).backgroundColor") != light
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_500_pictures_stay_usable(browser: Any, tmp_path: Path) -> None:
    """Opening, sorting, finding and moving on answer at once; thumbnails are loaded when they are near."""
    browser.get(write(tmp_path / "many", 500, side=8).as_uri())
    assert len(names(browser)) == 500
    loading = "const one = performance.getEntriesByType('navigation')[0]; return one.loadEventEnd - one.responseEnd"
    assert browser.execute_script(loading) < 3000
    for work in (
        "const sort = document.getElementById('sort'); sort.selectedIndex = 1; sort.dispatchEvent(new Event('change'))",
        "const find = document.getElementById('find'); find.value = '4'; find.dispatchEvent(new Event('input'))",
        "const find = document.getElementById('find'); find.value = ''; find.dispatchEvent(new Event('input'))",
        "for (let count = 0; count < 20; count++) document.getElementById('next').click()",
    ):
        # Reading a size makes the browser lay the page out within the time taken.
        milliseconds = browser.execute_script(
            f"const since = performance.now(); {work}; document.body.offsetHeight; return performance.now() - since"
        )
        assert milliseconds < 1000, work
    assert css(browser, "#name").text == names(browser)[int(css(browser, "#place").text.split()[0]) - 1]
    near = browser.execute_script("return [...document.querySelectorAll('#list img')].filter((i) => i.complete).length")
    assert 0 < near < 200
    quiet(browser)
