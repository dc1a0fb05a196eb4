"""Opens the catalog's pages in Chromium and does with them what people do.

usage: browser.py CHECK CHROMIUM FOLDER PICTURES

FOLDER holds the pages, PICTURES gets what was seen. Every page that is opened is watched: a message
on its console, a breach of its policy, an error or a request for anything but the file itself fails
the check, whatever it is about.
"""

import contextlib
import json
import re
import shlex
import sys
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

RELEASE = "kubezero-1.22.8-x86_64-20261110.1"
OLDER = "kubezero-1.22.8-x86_64-20261103.1"
DESKTOP = {"width": 1280, "height": 900}
TELEPHONE = {"width": 360, "height": 780}
# Time for what takes none: only a page that never gets there is failed by it.
expect.set_options(timeout=15_000)


class House:
    """A browser and the pages that it is shown."""

    def __init__(self, browser, folder, pictures):
        self.browser, self.folder, self.pictures = browser, folder, pictures
        self.looked = 0

    @contextlib.contextmanager
    def open(self, name, release="", *, view=DESKTOP, theme="light", before="", script=True):
        context = self.browser.new_context(
            viewport=view, color_scheme=theme, java_script_enabled=script, has_touch=view is TELEPHONE
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(15_000)
        heard = []
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: heard.append(f"dialog: {dialog.message}"))
        address = (self.folder / f"{name}.html").as_uri()
        own = lambda url: url.split("#")[0] == address or url.startswith("data:")
        page.on("request", lambda it: own(it.url) or heard.append(f"request: {it.url}"))
        if script:
            page.add_init_script(
                "window.breaches = [];"
                "addEventListener('securitypolicyviolation', (e) => breaches.push(e.violatedDirective));"
                + before
            )
        page.heard = heard
        page.goto(f"{address}#{release}" if release else address)
        yield page
        if script:
            heard += [f"policy: {directive}" for directive in page.evaluate("breaches")]
        assert heard == [], heard
        self.looked += 1
        context.close()

    def picture(self, page, name, whole=False):
        self.pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=self.pictures / f"{name}.png", full_page=whole)


def rows(page):
    return page.locator("tr[data-release]:visible")


def fits(page):
    """Nothing reaches over the page's right edge."""
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], widths


def first_release(house, name):
    text = (house.folder / f"{name}.html").read_text()
    found = re.search(r'<article id="([^"]+)"', text)
    return found.group(1) if found else ""


PAGES = ["full", "empty", "no-channels", "one", "many", "hostile"]


def it_is_quiet(house):
    for name in PAGES:
        for release in {"", first_release(house, name)}:
            for view in [DESKTOP, TELEPHONE]:
                with house.open(name, release, view=view) as page:
                    for summary in page.locator("summary:visible").all():
                        summary.click()
                    assert page.title() != "evil"
                    assert page.locator("img, iframe, object, embed").count() == 0
                    assert page.locator("script").count() == 2
                    fits(page)


def the_policy_holds(house):
    with house.open("full") as page:
        ran = page.evaluate(
            """async () => {
              const script = document.createElement("script");
              script.textContent = "window.ran = true";
              document.body.append(script);
              const style = document.createElement("style");
              style.textContent = "body { color: red }";
              document.body.append(style);
              const fetched = await fetch("https://example.invalid/").then(() => true, () => false);
              const color = getComputedStyle(document.body).color;
              return [window.ran === true, fetched, color === "rgb(255, 0, 0)"];
            }"""
        )
        assert ran == [False, False, False], ran
        page.wait_for_function("breaches.length >= 3")
        breaches = page.evaluate("breaches.splice(0)")
        assert sorted(breaches) == ["connect-src", "script-src-elem", "style-src-elem"], breaches
        said = [text for text in page.heard if "Content Security Policy" not in text]
        assert said == [] and len(page.heard) >= 3, page.heard
        page.heard.clear()


def search_and_filters_narrow_the_list(house):
    with house.open("full") as page:
        count = page.locator("#count")
        expect(count).to_have_text("17 images")
        expect(rows(page)).to_have_count(17)
        search = page.get_by_role("searchbox", name="Search")
        cases = [
            ("kubezero arm", 0),
            ("kubezero aarch64", 4),
            ("CVE-2023-4807 stable", 4),
            ("5.15.158", 4),
            ("  20261112.1 ", 1),
            ("kubezero/base/3.15.11/alpine-3.15.11/aarch64/20261117.1", 1),
        ]
        for text, expected in cases:
            search.fill(text)
            expect(rows(page)).to_have_count(expected)
            expect(count).to_have_text(f"{expected} of 17 images")
            expect(page.locator("#none")).to_be_visible(visible=expected == 0)
        # An id from a template or a console leads to its release.
        data = json.loads(page.locator("#data").text_content())
        ami = data["releases"][RELEASE]["regions"]["sa-east-1"]
        search.fill(ami.upper())
        expect(rows(page)).to_have_count(1)
        expect(rows(page).first).to_have_attribute("data-release", RELEASE)
        page.get_by_role("button", name="Clear filters").click()
        expect(search).to_be_focused()
        expect(rows(page)).to_have_count(17)

        page.get_by_label("Channel", exact=True).select_option("stable")
        expect(rows(page)).to_have_count(4)
        expect(page.locator("section.channel:visible")).to_have_count(1)
        page.get_by_label("Profile").select_option("kubezero")
        expect(rows(page)).to_have_count(2)
        page.get_by_label("Architecture").select_option("x86_64")
        page.get_by_label("Region").select_option("eu-west-2")
        expect(count).to_have_text("1 of 17 images in eu-west-2")
        expect(rows(page).locator("[data-ami] .code")).to_have_text(
            data["releases"][RELEASE]["regions"]["eu-west-2"]
        )
        expect(page.get_by_role("columnheader", name="AMI in eu-west-2").first).to_be_visible()
        page.get_by_label("Channel", exact=True).select_option("In no channel")
        expect(rows(page)).to_have_count(2)
        # The Region is remembered, the search is not.
        page.reload()
        expect(count).to_have_text("17 of 17 images in eu-west-2")
    with house.open("empty") as page:
        expect(page.locator("#search")).to_be_hidden()
        expect(page.get_by_text("Nothing is in stable now.")).to_be_visible()


def ids_are_copied(house):
    refused = "navigator.clipboard.writeText = () => Promise.reject(new Error('no'));"
    for before in ["", refused]:
        with house.open("full", before=before) as page:
            page.get_by_label("Region").select_option("us-east-1")
            button = rows(page).first.get_by_role("button", name="Copy ami-")
            shown = rows(page).first.locator("[data-ami] .code").text_content()
            button.click()
            expect(page.locator("#said")).to_have_text(f"Copied {shown}")
            assert page.evaluate("navigator.clipboard.readText()") == shown
            expect(button).to_be_focused()
            expect(button).to_have_class(re.compile("done"))
    # Where nothing helps, the page says so.
    with house.open("full", RELEASE, before=refused + "document.execCommand = () => false;") as page:
        page.locator("tr[data-at] .copy:visible").first.click()
        expect(page.locator("#said")).to_contain_text("copy it yourself")
    with house.open("full", RELEASE) as page:
        row = page.locator(f'[id="{RELEASE}"] tr[data-at="eu-west-1"]')
        row.get_by_role("button", name="Copy the ARN of the key in eu-west-1").click()
        expect(page.locator("#said")).to_contain_text("Copied arn:aws:kms:eu-west-1:")
        page.get_by_role("button", name="Copy the text for CloudFormation").click()
        expect(page.locator("#said")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith("Mappings:\n  AlpineAmi:\n")


def a_keyboard_is_enough(house):
    focused = "document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"

    def tab_to(page, wanted, most=80):
        seen = []
        for _ in range(most):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(focused))
            if seen[-1].startswith(wanted):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid", f"{wanted}: the focus is not seen"
                return
        raise AssertionError(f"Tab does not lead to {wanted}: {seen}")

    with house.open("full") as page:
        assert page.locator('[tabindex]:not([tabindex="0"], [tabindex="-1"])').count() == 0
        tab_to(page, "Skip to the images", 1)
        tab_to(page, "text", 3)
        page.keyboard.type("kubezero x86_64 stable")
        expect(rows(page)).to_have_count(1)
        tab_to(page, "region", 4)
        page.keyboard.type("eu-central-1")
        tab_to(page, "Copy ami-", 5)
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_contain_text("Copied ami-")
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.textContent") == "kubezero 1.22.8"
        page.keyboard.press("Enter")
        expect(page.locator(f'[id="{RELEASE}"] .big')).to_be_focused()
        tab_to(page, "tab-0-", 60)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="AWS CLI")).to_be_focused()
        expect(page.get_by_role("tabpanel")).to_contain_text("--region eu-central-1")
        tab_to(page, "Copy the text for AWS CLI", 6)
        page.keyboard.press("Space")
        assert "aws ec2 run-instances" in page.evaluate("navigator.clipboard.readText()")
        # The browser's own key for it goes nowhere without a window.
        page.go_back()
        expect(page.locator("#list")).to_be_visible()
        assert page.evaluate("document.activeElement.textContent") == "kubezero 1.22.8"


def themes_follow_the_system_and_the_choice(house):
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light, dark = "rgb(251, 250, 247)", "rgb(18, 21, 23)"
    for theme, color in [("light", light), ("dark", dark)]:
        with house.open("full", theme=theme) as page:
            assert page.evaluate(ground) == color
            house.picture(page, f"list-{theme}")
    with house.open("full", theme="light") as page:
        button = page.get_by_role("button", name="Dark", exact=True)
        expect(button).to_have_attribute("aria-pressed", "false")
        page.emulate_media(color_scheme="dark")
        expect(button).to_have_attribute("aria-pressed", "true")
        assert page.evaluate(ground) == dark
        button.click()
        expect(button).to_have_attribute("aria-pressed", "false")
        assert page.evaluate(ground) == light
        page.reload()
        assert page.evaluate(ground) == light, "the choice is forgotten"
    # A window that refuses storage.
    denied = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } });"
    with house.open("full", before=denied) as page:
        page.get_by_role("button", name="Dark", exact=True).click()
        assert page.evaluate(ground) == dark
        page.get_by_label("Region").select_option("us-west-2")
        expect(page.locator("#count")).to_have_text("17 of 17 images in us-west-2")


def a_telephone_shows_all_without_scrolling_sideways(house):
    for name in PAGES:
        for release in ["", first_release(house, name)]:
            with house.open(name, release, view=TELEPHONE) as page:
                region = page.locator("#region")
                if not release and region.is_visible() and region.locator("option").count() > 1:
                    region.select_option(index=1)
                for summary in page.locator("summary:visible").all():
                    summary.click()
                fits(page)
    with house.open("full", view=TELEPHONE) as page:
        page.get_by_label("Region").select_option("ap-southeast-2")
        row = rows(page).first
        for part in [row.locator("[data-ami] .code"), row.get_by_role("button")]:
            box = part.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 360, box
        box = row.get_by_role("button").bounding_box()
        assert min(box["width"], box["height"]) >= 40, f"too small for a finger: {box}"
        # Rows are no table to the eye, but still one to a screen reader.
        expect(page.get_by_role("table", name="Images in stable").get_by_role("row")).to_have_count(5)
        house.picture(page, "list-telephone")
    with house.open("full", RELEASE, view=TELEPHONE, theme="dark") as page:
        house.picture(page, "release-telephone", whole=True)


def it_is_accessible(house):
    everywhere = [(theme, view) for theme in ["light", "dark"] for view in [DESKTOP, TELEPHONE]]
    cases = [("full", release, *where) for release in ["", RELEASE] for where in everywhere]
    for name in ["one", "hostile"]:
        release = first_release(house, name)
        cases += [(name, release, "light", DESKTOP), (name, release, "dark", TELEPHONE)]
    cases += [("empty", "", "dark", DESKTOP), ("no-channels", "", "light", TELEPHONE)]
    for name, release, theme, view in cases:
        with house.open(name, release, view=view, theme=theme) as page:
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            if not release and page.locator("#region").is_visible():
                page.locator("#region").select_option(index=1)
                rows(page).first.get_by_role("button").click()
                expect(page.locator("#said")).to_contain_text("Copied")
            # Colours that are on their way to others are none to measure.
            page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
            found = Axe().run(page).response["violations"]
            told = [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in found]
            assert told == [], (name, release, theme, view, told)
    # The measuring itself works: a grey on grey is found.
    with house.open("full") as page:
        page.evaluate("document.documentElement.style.setProperty('--soft', '#cccccc')")
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found] == ["color-contrast"], found


def a_release_tells_how_to_use_it(house):
    with house.open("full", RELEASE) as page:
        article = page.locator(f'[id="{RELEASE}"]')
        expect(article).to_be_visible()
        expect(page.locator("article:visible")).to_have_count(1)
        expect(page.locator("#list")).to_be_hidden()
        assert page.title() == f"{RELEASE}: kubezero: machine images"
        data = json.loads(page.locator("#data").text_content())
        regions = data["releases"][RELEASE]["regions"]
        panel = article.get_by_role("tabpanel")
        expect(panel.locator("pre")).to_contain_text(f"    sa-east-1:\n      KubezeroX8664: {regions['sa-east-1']}\n")
        expect(panel.locator("pre")).to_contain_text('!FindInMap [AlpineAmi, !Ref "AWS::Region", KubezeroX8664]')
        article.get_by_label("Region", exact=True).select_option("sa-east-1")
        expect(article.locator("tr.chosen th")).to_have_text("sa-east-1")
        ami = regions["sa-east-1"]
        expected = {
            "Terraform": [
                f'  "sa-east-1" = {{ "kubezero/x86_64" = "{ami}" }}\n',
                'var.alpine_ami["sa-east-1"]["kubezero/x86_64"]',
                'owners = ["111122223333"]',
                'values = ["kubezero/kubezero/1.22.8/alpine-3.15.11/x86_64/20261110.1"]',
            ],
            "AWS CLI": [f"--region sa-east-1 \\\n  --image-id {ami} \\\n  --instance-type t3.medium"],
            "alpine-ami": ["--profile kubezero", "--channel stable \\\n  --catalog s3://kubezero-images/catalog \\\n  --region sa-east-1 \\\n  --id"],
        }
        for name, texts in expected.items():
            article.get_by_role("tab", name=name).click()
            for text in texts:
                expect(panel.locator("pre")).to_contain_text(text)
        expect(article.locator(".verify pre")).to_have_text(f"alpine-ami verify {ami} --region sa-east-1")
        for text in ["BIOS, UEFI", "2.0 GiB", "5.15.150-0-virt", "Mends OpenSSL", "Signed"]:
            expect(article.locator(".aside")).to_contain_text(text)
        house.picture(page, "release-light", whole=True)
        article.get_by_role("link", name="All images").click()
        expect(page.locator("#list")).to_be_visible()
        expect(page.locator("#region")).to_have_value("sa-east-1")
    with house.open("full", "kubezero-1.22.8-x86_64-20261112.1", theme="dark") as page:
        expect(page.get_by_text("This release was withdrawn.")).to_be_visible()
        expect(page.locator(".notice:visible", has_text="Nodes with more than 110 pods")).to_be_visible()
        expect(page.get_by_role("tab")).to_have_count(0)
        expect(page.locator(".verify pre:visible")).to_contain_text("alpine-ami verify ami-")
        house.picture(page, "withdrawn-dark", whole=True)
    with house.open("full", "kubezero-1.22.8-x86_64-20261117.1", theme="dark") as page:
        expect(page.get_by_text("This release is deprecated.")).to_be_visible()
        page.get_by_role("tab", name="Terraform").click()
        expect(page.get_by_role("tabpanel")).to_contain_text("include_deprecated = true")
        house.picture(page, "release-dark", whole=True)
    # What a text holds stays one word of the command.
    with house.open("hostile", first_release(house, "hostile")) as page:
        page.get_by_role("tab", name="alpine-ami").click()
        text = page.get_by_role("tabpanel").locator("pre").text_content()
        words = shlex.split(text.replace("\\\n", " "))
        evil = words[words.index("--catalog") + 1]
        assert evil.startswith("</script><script>") and evil.endswith("]]>"), words
        page.get_by_role("tab", name="Terraform").click()
        expect(page.get_by_role("tabpanel").locator("pre")).to_contain_text("$${1}")
        assert words[-1] == "--id" and len(words) == 17, words
    # What is in no channel cannot be followed by one.
    with house.open("full", OLDER) as page:
        expect(page.get_by_role("tab", name="AWS CLI")).to_be_visible()
        expect(page.get_by_role("tab", name="alpine-ami")).to_have_count(0)
    with house.open("one", first_release(house, "one")) as page:
        expect(page.get_by_text("nobody can check where it comes from")).to_be_visible()
        expect(page.locator(".verify pre")).to_be_hidden()
    # An address that names nothing shows the list.
    with house.open("full", "nothing-1-x86_64-20260101.1") as page:
        expect(page.locator("#list")).to_be_visible()


def packages_and_changes_are_listed(house):
    with house.open("full", RELEASE) as page:
        article = page.locator(f'[id="{RELEASE}"]')
        shown = article.locator(".packages tbody tr:visible")
        expect(shown).to_have_count(168)
        finder = article.get_by_label("Find a package")
        finder.fill("openssl")
        expect(shown).to_have_count(2)
        expect(article.locator(".finder .count")).to_have_text("2 of 168 packages")
        expect(shown.first).to_contain_text("libcrypto1.1")
        expect(shown.first).to_contain_text("2.7 MiB")
        finder.fill("crun 1.4.3")
        expect(shown).to_have_count(1)
        for text in ["CVE-2023-4807", "in libcrypto1.1", "5.15.143-0-virt", "1.1.1v-r0", "ipset", "runc"]:
            expect(article.locator("section", has_text="Changes in stable")).to_contain_text(text)
        article.get_by_role("link", name=OLDER).click()
        expect(page.locator(f'[id="{OLDER}"] .big')).to_be_focused()
        expect(page.locator("article:visible")).to_have_count(1)
        page.go_back()
        expect(article).to_be_visible()
        expect(shown).to_have_count(1)
    with house.open("full") as page:
        page.get_by_text("History of stable").click()
        moves = page.locator(".history:visible li:visible")
        expect(moves).to_have_count(7)
        expect(moves.nth(0)).to_contain_text("Withdrawn")
        expect(moves.nth(1)).to_contain_text("instead of")
        expect(moves.nth(1)).to_contain_text("13 November 2026, 04:00 UTC · release-engineers/stefan")
        house.picture(page, "history", whole=True)


def without_script_it_is_still_a_list(house):
    for name in PAGES:
        with house.open(name, script=False) as page:
            assert page.locator("button:visible, input:visible, select:visible").count() == 0
            assert page.locator("h1:visible").count() == 1
    with house.open("full", script=False) as page:
        expect(rows(page)).to_have_count(17)
        expect(page.locator("article:visible")).to_have_count(17)
        link = rows(page).first.get_by_role("link", name="17 Regions")
        link.click()
        expect(page.locator(":target tr[data-at]")).to_have_count(17)
        house.picture(page, "without-script")


def many_releases_are_no_burden(house):
    with house.open("many") as page:
        expect(page.locator("#count")).to_have_text("100 images")
        page.get_by_label("Region").select_option("eu-central-1")
        expect(rows(page).get_by_role("button")).to_have_count(100)
        # The newest version first, as numbers: 1.24.9 and not 1.20.0.
        expect(rows(page).first).to_contain_text("node 1.24.9")
        spent = page.evaluate(
            """() => {
              const field = document.querySelector("#text");
              const start = performance.now();
              for (const text of ["1", "1.2", "1.23", "1.23.4"]) {
                field.value = text;
                field.dispatchEvent(new Event("input", { bubbles: true }));
                document.body.offsetHeight;
              }
              return performance.now() - start;
            }"""
        )
        assert spent < 4000, f"{spent} ms for four letters"
        expect(rows(page)).to_have_count(2)
        rows(page).first.get_by_role("link").first.click()
        expect(page.locator(".packages tbody tr:visible")).to_have_count(400)


def main():
    name, chromium, folder, pictures = sys.argv[1:]
    with sync_playwright() as playwright:
        # Root has no sandbox to put its pages in, and containers have little shared memory.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        house = House(browser, Path(folder), Path(pictures))
        globals()[name](house)
        browser.close()
    print(f"looked at {house.looked}")


main()
