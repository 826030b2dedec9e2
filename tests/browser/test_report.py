"""The report page in a real browser, from disk."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irsde_cli.cli.program import app
from irsde_cli.report.page import Report
from tests.cli.stub import picture, save_stub

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


def save(path: Path, image: torch.Tensor) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray((image[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(path)


def run(*words: object, code: int = 0) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output


def test_evaluate_writes_a_page(browser: Any, tmp_path: Path) -> None:
    """Its table, its figures and its failures; a system without a picture is said to have none."""
    for index in range(3):
        clean = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(index)) * 0.8
        for place, change in (("GT", 0.0), ("LQ", 0.1), ("ours", 0.05), ("theirs", 0.0)):
            if (place, index) != ("ours", 1):
                save(tmp_path / place / f"{index}.png", clean + change)
    words = (
        "--gt",
        tmp_path / "GT",
        "--lq",
        tmp_path / "LQ",
        "--from",
        tmp_path / "ours",
        "--from",
        tmp_path / "theirs",
    )
    run("evaluate", *words, "--report", tmp_path / "page", "--quiet", code=3)
    browser.get((tmp_path / "page" / "index.html").as_uri())
    assert css(browser, "#means").text.split("\n")[0] == "PSNR (dB) SSIM Made worse"
    assert "theirs equal" in css(browser, "#means").text
    assert names(browser)[-1] == "1"  # without a figure: last
    css(browser, "#list li:last-child button").click()
    assert css(browser, "#stage .absent").text == "no picture: ours"
    assert "1: ours:" in css(browser, "#problems").text
    choose(browser, "#right", "theirs")
    assert css(browser, "#stage .tag.right").text == "theirs equal"
    quiet(browser)


def test_without_degraded_pictures_the_figures_sort(browser: Any, tmp_path: Path) -> None:
    """The clean picture, which evaluate takes for the input, is not shown as one."""
    for index in range(3):
        clean = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(index)) * 0.7
        save(tmp_path / "GT" / f"{index}.png", clean)
        save(tmp_path / "ours" / f"{index}.png", clean + 0.1 * (index + 1))
    run("evaluate", "--gt", tmp_path / "GT", "--from", tmp_path / "ours", "--report", tmp_path / "page", "--quiet")
    browser.get((tmp_path / "page" / "index.html").as_uri())
    assert names(browser) == ["2", "1", "0"]
    assert css(browser, "#left").text.split() == ["ours", "clean"]
    assert [tag.text for tag in browser.find_elements("css selector", "#stage .tag")] == ["ours 10.46 dB", "clean"]
    quiet(browser)


def test_restore_writes_a_page_without_ground_truth(browser: Any, tmp_path: Path) -> None:
    """Before and after alone: no figures, no error maps, no plots; results of earlier runs are shown too."""
    picture(tmp_path / "in" / "b.png", 24, 32)
    picture(tmp_path / "in" / "a.png", 16, 48)
    model = save_stub(tmp_path / "stub.safetensors")
    words = (tmp_path / "in", tmp_path / "out", "--task", "denoise", "--model", model, "--steps", 2, "--quiet")
    run("restore", *words)
    picture(tmp_path / "in" / "c.png", 24, 32)
    run("restore", *words, "--report", tmp_path / "page")
    browser.get((tmp_path / "page" / "index.html").as_uri())
    assert names(browser) == ["a.png", "b.png", "c.png"]
    assert [tag.text for tag in browser.find_elements("css selector", "#stage .tag")] == ["input", "restored"]
    assert "48 \u00d7 16, restored by an earlier run" in css(browser, "#size").text
    for selector in ("#sort", "#column", "#error", "#legend", "#overview", "#problems", "#figures tr"):
        assert not any(node.is_displayed() for node in browser.find_elements("css selector", selector)), selector
    press(browser, "e")  # there is no error map
    sources = browser.execute_script("return [...document.querySelectorAll('#stage img')].map((image) => image.src)")
    assert len(set(sources)) == 2
    css(browser, "#turn").click()
    assert names(browser) == ["c.png", "b.png", "a.png"]
    assert css(browser, "#size").text == "32 \u00d7 24"
    quiet(browser)


def test_everything_is_reached_by_keyboard(opened: Any) -> None:
    """Tab passes by every control and through the list in one step; each says what it is."""
    unnamed = opened.execute_script(
        "return [...document.querySelectorAll('button, select, input, [role=slider]')].filter((node) =>"
        "!(node.ariaLabel || node.labels?.[0]?.textContent || node.textContent).trim()).map((node) => node.outerHTML)"
    )
    assert unnamed == []
    reached: list[str] = []
    while (len(reached) < 40) and reached[1:].count("theme") == 0:
        press(opened, "\ue004")  # tab
        reached.append(opened.execute_script("return document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "BUTTON":
            press(opened, "\ue015", "\ue015")  # down
            assert opened.execute_script("return document.activeElement.textContent").startswith("deep/picture 2")
    wanted = {"theme", "sort", "column", "turn", "find", "next", "left", "swap", "right", "slide", "all", "error"}
    assert wanted | {"out", "in", "fit", "pixels", "handle"} <= set(reached)
    assert reached.count("BUTTON") == 1
    css(opened, "#handle").send_keys("\ue010")  # end
    assert css(opened, "#handle").get_attribute("aria-valuenow") == "100"
    assert css(opened, "#handle").get_attribute("aria-valuetext") == "100 % input, the rest ours"
    quiet(opened)


CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
  .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
const found = [];
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || !node.checkVisibility() || node.matches('svg *, :disabled, option, script')) continue;
  let back = node;
  while (parse(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
  const one = light(parse(getComputedStyle(node).color)), other = light(parse(getComputedStyle(back).backgroundColor));
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  found.push([ratio, node.outerHTML.slice(0, 80)]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened: Any, scheme: str) -> None:
    """Every text has a contrast of at least 4.5 to its ground; the button takes the other palette."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        ground = "return getComputedStyle(document.body).backgroundColor"
        first = opened.execute_script(ground)
        for _ in range(2):
            found = opened.execute_script(CONTRAST)
            assert len(found) > 30
            assert [one for one in found if one[0] < 4.5] == []
            css(opened, "#theme").click()
        assert opened.execute_script(ground) == first
        css(opened, "#theme").click()
        assert opened.execute_script(ground) != first
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_wheel_zooms_where_it_points_and_a_drag_moves(opened: Any) -> None:
    """The picture's point under the pointer stays; at its smallest the picture lets the page scroll."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    under = (
        "const box = stage.getBoundingClientRect(), image = stage.querySelector('img').getBoundingClientRect();"
        "return [(box.left + box.width / 2 + 100 - image.left) / image.width,"
        " (box.top + box.height / 2 - 50 - image.top) / image.height, image.width]"
    )
    origin = ScrollOrigin.from_element(css(opened, "#stage"), 100, -50)
    before = opened.execute_script(under)
    ActionChains(opened).scroll_from_origin(origin, 0, -400).perform()
    after = opened.execute_script(under)
    assert after[2] > 2 * before[2]
    assert after[:2] == pytest.approx(before[:2], abs=0.02)
    assert opened.execute_script("return scrollY") == 0
    ActionChains(opened).move_to_element_with_offset(css(opened, "#stage"), 200, 0).click_and_hold().move_by_offset(
        -40, 10
    ).release().perform()
    moved = opened.execute_script(under)
    assert moved[0] - after[0] == pytest.approx(40 / after[2], rel=0.05)
    ActionChains(opened).scroll_from_origin(origin, 0, 2000).perform()
    assert opened.execute_script("return state.scale") == 0
    quiet(opened)


def test_fingers_slide_and_pinch(opened: Any) -> None:
    """On a telephone one finger moves the slider, wherever it is put, and two zoom."""

    def touch(kind: str, *points: tuple[float, float]) -> None:
        where = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        opened.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        opened.execute_script("stage.scrollIntoView({ block: 'center' })")
        box = css(opened, "#stage").rect
        x, y = box["x"] + box["width"] / 2, 400
        touch("touchStart", (x - 80, y))
        for step in range(1, 9):
            touch("touchMove", (x - 80 + 20 * step, y))
        touch("touchEnd")
        assert int(css(opened, "#handle").get_attribute("aria-valuenow")) == pytest.approx(72, abs=2)
        before = opened.execute_script("return stage.querySelector('img').getBoundingClientRect().width")
        touch("touchStart", (x - 30, y), (x + 30, y))
        for step in range(1, 7):
            touch("touchMove", (x - 30 - 10 * step, y), (x + 30 + 10 * step, y))
        touch("touchEnd")
        after = opened.execute_script("return stage.querySelector('img').getBoundingClientRect().width")
        assert after / before == pytest.approx(3, rel=0.2)
    finally:
        opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    quiet(opened)
