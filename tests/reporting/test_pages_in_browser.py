"""Pages in a real browser: headless Chromium, of the distribution's packages, driven by Playwright."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium; the package chromium of Debian brings one"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def opened(browser, path, width):
    """The page in a window of that width, and the list that its console's complaints go to."""
    page, complaints = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page, complaints


@pytest.mark.parametrize("width", [360, 1600])
def test_the_report_works_at_every_width(browser, report_page, width):
    page, complaints = opened(browser, report_page, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cards = page.locator(".cases > li:visible")
    everybody = cards.count()
    page.select_option("select[name=error]", "missed persons")
    assert 0 < cards.count() < everybody
    assert page.inner_text("#shown") == f"{cards.count()} of {everybody} shown"
    page.get_by_role("button", name="Show all").click()
    sync_api.expect(cards).to_have_count(everybody)
    button = page.locator("button[data-photograph]").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    sync_api.expect(dialog).to_be_visible()
    assert dialog.locator("img").count() == 2
    assert dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.keyboard.press("Escape")
    sync_api.expect(dialog).to_be_hidden()
    assert button.evaluate("element => element === document.activeElement")
    assert not complaints
    page.close()
