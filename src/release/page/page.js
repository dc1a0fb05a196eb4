
"use strict";
// The page is complete HTML; this adds what HTML cannot do. It loads nothing, and puts text where
// text belongs: nothing of the catalog is ever taken for HTML.
(() => {
  const root = document.documentElement;
  root.classList.add("script");

  // Storage is refused in some windows; the choice then lasts as long as the page.
  const memory = new Map();
  const recall = (name) => {
    try { return localStorage.getItem(`alpine-ami.${name}`); } catch { return memory.get(name) ?? null; }
  };
  const remember = (name, value) => {
    memory.set(name, value);
    try { localStorage.setItem(`alpine-ami.${name}`, value); } catch { /* see above */ }
  };

  // Before anything is drawn: else the page would flash in the other theme.
  const chosen = recall("theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, text, more = {}) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(more)) element.setAttribute(key, value);
    return element;
  };
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

  /* ---- Theme ---- */
  const setUpTheme = () => {
    const button = one("#theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember("theme", root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  };

  /* ---- Copying ---- */
  let silence;
  const say = (text) => {
    const place = one("#said");
    clearTimeout(silence);
    // Said twice in a row, a text would not be read out again.
    place.textContent = "";
    requestAnimationFrame(() => { place.textContent = text; });
    silence = setTimeout(() => { place.textContent = ""; }, 4000);
  };
  // Over plain HTTP there is no clipboard to ask for; the old way still works there.
  const copyOldWay = (text) => {
    const area = make("textarea", undefined, { readonly: "", class: "unseen", "aria-hidden": "true" });
    area.value = text;
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* done stays false */ }
    area.remove();
    before?.focus();
    return done;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copyOldWay(text);
    }
  };
  const icon = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#icon-${name}`);
    svg.append(use);
    return svg;
  };
  const copyButton = (text, what) => {
    const button = make("button", undefined, {
      type: "button", class: "copy", "data-copy": text, "aria-label": `Copy ${what}`,
    });
    button.append(icon("copy"));
    return button;
  };
  const setUpCopying = () => document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy;
    if (!(await copy(text))) {
      say("This browser does not let the page copy. Select the text and copy it yourself.");
      return;
    }
    const isShort = text.length < 90 && !text.includes("\n");
    say(isShort ? `Copied ${text}` : "Copied");
    const use = one("use", button);
    use.setAttribute("href", "#icon-done");
    button.classList.add("done");
    setTimeout(() => {
      use.setAttribute("href", "#icon-copy");
      button.classList.remove("done");
    }, 2000);
  });

  /* ---- The list: search and filter ---- */
  const setUpList = (data, region) => {
    const fields = Object.fromEntries(["text", "channel", "profile", "arch"].map((id) => [id, one(`#${id}`)]));
    const rows = all("tr[data-release]").map((row) => {
      const of = data.releases[row.dataset.release];
      const text = `${row.textContent} ${row.dataset.channel} ${of?.words ?? ""}`.toLowerCase();
      // Names begin with the publisher's: in a word without a slash they would be found always.
      const name = of?.name.toLowerCase() ?? "";
      const says = (word) => text.includes(word) || (word.includes("/") && name.includes(word));
      return { row, of, says, cell: one("[data-ami]", row), before: [...one("[data-ami]", row).childNodes] };
    });
    const tables = all(".channel").map((section) => ({ section, rows: all("tr[data-release]", section) }));

    const showCell = ({ row, of, cell, before }) => {
      const id = of?.regions[region.value];
      cell.dataset.title = region.value ? "AMI" : "AMIs";
      if (!id) return cell.replaceChildren(...before);
      const what = `${id}, the AMI of ${row.dataset.release} in ${region.value}`;
      cell.replaceChildren(make("span", id, { class: "code" }), " ", copyButton(id, what));
    };
    const refresh = () => {
      const words = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = (name) => fields[name].value;
      const fits = ({ row, of, says }) =>
        words.every(says)
        && ["channel", "profile", "arch"].every((name) => !chosen(name) || row.dataset[name] === chosen(name))
        && (!region.value || of?.regions[region.value] !== undefined);
      let shown = 0;
      for (const entry of rows) {
        entry.row.hidden = !fits(entry);
        if (!entry.row.hidden) shown += 1;
        if (entry.at !== region.value) showCell(entry);
        entry.at = region.value;
      }
      const narrowed = words.length > 0 || ["channel", "profile", "arch"].some(chosen) || region.value;
      for (const { section, rows } of tables) {
        const left = rows.filter((row) => !row.hidden);
        section.hidden = Boolean(narrowed) && left.length === 0;
        rows.forEach((row) => row.classList.toggle("first", row === left[0]));
      }
      for (const title of all("[data-region-title]")) {
        title.textContent = region.value ? `AMI in ${region.value}` : "AMIs";
      }
      one("#search").hidden = rows.length === 0;
      one("#none").hidden = shown > 0 || rows.length === 0;
      one("#clear").hidden = !narrowed;
      one("#count").textContent = narrowed
        ? `${shown} of ${plural(rows.length, "image")}${region.value ? ` in ${region.value}` : ""}`
        : plural(rows.length, "image");
    };
    one("#filter").addEventListener("submit", (event) => event.preventDefault());
    one("#filter").addEventListener("input", refresh);
    one("#filter").addEventListener("reset", () => setTimeout(() => {
      region.set("");
      refresh();
      fields.text.focus();
    }));
    region.heard.push(refresh);
    refresh();
  };

  /* ---- The Region: one choice for the whole page ---- */
  const setUpRegion = () => {
    const known = new Set(all("#region option").map((option) => option.value));
    const before = recall("region");
    const region = {
      value: known.has(before) ? before : "",
      heard: [],
      set(value) {
        this.value = known.has(value) ? value : "";
        remember("region", this.value);
        for (const select of all("select[data-region]")) select.value = this.value;
        this.heard.forEach((listener) => listener());
      },
    };
    one("#region").value = region.value;
    document.addEventListener("change", (event) => {
      if (event.target.matches("select[data-region]")) region.set(event.target.value);
    });
    return region;
  };

  /* ---- A release: what to paste, and its packages ---- */
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  // In Terraform's strings, two more pairs of characters mean something than in JSON's.
  const hcl = (text) => JSON.stringify(text).replaceAll("${", () => "$${").replaceAll("%{", "%%{");
  const ways = (data, id, region) => {
    const of = data.releases[id];
    const ami = of.regions[region];
    const line = `${of.profile}/${of.arch}`;
    const word = of.profile.replace(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d)/, "_");
    const regions = Object.entries(of.regions);
    const type = of.arch === "aarch64" ? "t4g.medium" : "t3.medium";
    const found = [
      {
        name: "CloudFormation",
        words: "Every Region in one mapping; the stack takes the AMI of the Region that it is in.",
        text: ["Mappings:", "  AlpineAmi:",
          ...regions.flatMap(([name, one]) => [`    ${name}:`, `      ${of.mapping}: ${one}`]),
          "", "Resources:", "  Nodes:", "    Type: AWS::EC2::LaunchTemplate", "    Properties:",
          "      LaunchTemplateData:",
          `        ImageId: !FindInMap [AlpineAmi, !Ref "AWS::Region", ${of.mapping}]`].join("\n"),
      },
      {
        name: "Terraform",
        words: "As values for a variable, or looked up by owner and name.",
        text: ["# alpine-ami.auto.tfvars", "alpine_ami = {",
          ...regions.map(([name, one]) => `  ${hcl(name)} = { ${hcl(line)} = ${hcl(one)} }`),
          "}", "", "# main.tf", "variable \"alpine_ami\" {", "  type = map(map(string))", "}", "",
          `# image_id = var.alpine_ami[${hcl(region)}][${hcl(line)}]`, "",
          "# or without the variable:", `data "aws_ami" "${word}" {`, `  owners = [${hcl(data.account)}]`,
          ...(of.condition === "deprecated" ? ["  include_deprecated = true"] : []),
          "  filter {", "    name   = \"name\"", `    values = [${hcl(of.name)}]`, "  }", "}"].join("\n"),
      },
      {
        name: "AWS CLI",
        words: `Launches one instance in ${region}.`,
        text: ["aws ec2 run-instances \\", `  --region ${quoted(region)} \\`, `  --image-id ${quoted(ami)} \\`,
          `  --instance-type ${type} \\`, "  --metadata-options HttpTokens=required \\", "  --count 1"].join("\n"),
      },
    ];
    if (of.channel !== null) {
      found.push({
        name: "alpine-ami",
        words: `Prints the id of what is in ${of.channel} at the time, for scripts that follow the channel.`,
        text: ["alpine-ami list \\", `  --publisher ${quoted(data.account)} \\`, `  --profile ${quoted(of.profile)} \\`,
          `  --version ${quoted(of.version)} \\`, `  --arch ${quoted(of.arch)} \\`,
          `  --channel ${quoted(of.channel)} \\`, `  --catalog ${quoted(data.catalog)} \\`,
          `  --region ${quoted(region)} \\`, "  --id"].join("\n"),
      });
    }
    return found;
  };

  const setUpUse = (article, data, region) => {
    const place = one("[data-use]", article);
    const id = article.id;
    const names = Object.keys(data.releases[id].regions);
    if (names.length === 0) return;
    place.append(one("#use-template").content.cloneNode(true));
    const [list, panel, select, label] = [".tabs", ".panel", "select", "label"].map((name) => one(name, place));
    [panel.id, select.id] = [`panel-${id}`, `region-${id}`];
    label.htmlFor = select.id;
    label.textContent = "Region";
    // Nobody is to be helped into what was taken back; whose it was can still be checked.
    one("section", place).hidden = data.releases[id].condition === "withdrawn";
    select.append(...names.map((name) => make("option", name)));
    let current = recall("way");

    const show = () => {
      const at = names.includes(region.value) ? region.value : names[0];
      select.value = at;
      const found = ways(data, id, at);
      const way = found.find(({ name }) => name === current) ?? found[0];
      list.replaceChildren(...found.map(({ name }, number) => {
        const isOne = name === way.name;
        return make("button", name, {
          type: "button", role: "tab", id: `tab-${number}-${id}`, "aria-controls": panel.id,
          "aria-selected": String(isOne), tabindex: isOne ? "0" : "-1",
        });
      }));
      panel.setAttribute("aria-labelledby", one("[aria-selected=true]", list).id);
      one(".soft", panel).textContent = way.words;
      one("pre", panel).textContent = way.text;
      one(".copy", panel)?.remove();
      one(".snippet", panel).append(copyButton(way.text, `the text for ${way.name}`));
      const command = `alpine-ami verify ${quoted(data.releases[id].regions[at])} --region ${quoted(at)}`;
      const isSigned = data.releases[id].signed;
      one(".verify-words", place).textContent = isSigned
        ? `Checks that the AMI in ${at} is the one that the publisher signed.`
        : "Its manifest is not signed, so nobody can check where it comes from.";
      one(".verify", place).hidden = !isSigned;
      one(".verify pre", place).textContent = command;
      one(".verify .copy", place)?.remove();
      one(".verify", place).append(copyButton(command, "the command that verifies it"));
      for (const row of all("[data-at]", article)) row.classList.toggle("chosen", row.dataset.at === region.value);
    };
    const choose = (tab) => {
      current = tab.textContent;
      remember("way", current);
      show();
      one("[aria-selected=true]", list).focus();
    };
    list.addEventListener("click", (event) => {
      const tab = event.target.closest("[role=tab]");
      if (tab) choose(tab);
    });
    list.addEventListener("keydown", (event) => {
      const tabs = all("[role=tab]", list);
      const at = tabs.indexOf(event.target);
      const next = {
        ArrowRight: (at + 1) % tabs.length, ArrowLeft: (at + tabs.length - 1) % tabs.length,
        Home: 0, End: tabs.length - 1,
      }[event.key];
      if (at < 0 || next === undefined) return;
      event.preventDefault();
      choose(tabs[next]);
    });
    region.heard.push(show);
    show();
  };

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB"];
    let [value, unit] = [bytes, 0];
    while (value >= 1024 && unit < 3) [value, unit] = [value / 1024, unit + 1];
    return unit === 0 ? `${value} B` : `${value.toFixed(1)} ${units[unit]}`;
  };
  const setUpPackages = (article, data) => {
    const place = one("[data-packages]", article);
    if (!place) return;
    place.append(one("#packages-template").content.cloneNode(true));
    const [input, label, count, body] = ["input", "label", ".count", "tbody"].map((name) => one(name, place));
    input.id = `find-${article.id}`;
    label.htmlFor = input.id;
    label.textContent = "Find a package";
    one(".scroll", place).setAttribute("aria-label", `Packages of ${article.id}`);
    const rows = data.releases[article.id].packages.map((number) => {
      const { name, version, license, size: bytes } = data.packages[number];
      const row = make("tr");
      row.append(make("th", name, { scope: "row", class: "code" }), make("td", version, { class: "code" }),
        make("td", license), make("td", size(bytes), { class: "number" }));
      return { row, text: `${name} ${version} ${license}`.toLowerCase() };
    });
    body.append(...rows.map(({ row }) => row));
    const refresh = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const { row, text } of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      count.textContent = words.length ? `${shown} of ${plural(rows.length, "package")}` : plural(rows.length, "package");
    };
    input.addEventListener("input", refresh);
    refresh();
  };

  /* ---- Which of both is shown: the list, or the release that the address names ---- */
  const setUpViews = (data, region) => {
    const title = document.title;
    const filled = new Set();
    let opened = null;
    let position = 0;
    const show = (event) => {
      let name = "";
      try { name = decodeURIComponent(location.hash.slice(1)); } catch { /* no name of ours */ }
      const article = Object.hasOwn(data.releases, name) ? document.getElementById(name) : null;
      const before = opened;
      if (article && !before) position = event ? lastScroll : 0;
      before?.classList.remove("open");
      article?.classList.add("open");
      one("#list").hidden = Boolean(article);
      opened = article;
      document.title = article ? `${name}: ${title}` : title;
      if (article) {
        if (!filled.has(name)) {
          filled.add(name);
          setUpUse(article, data, region);
          setUpPackages(article, data);
        }
        scrollTo(0, 0);
        one(".big", article).focus({ preventScroll: true });
      } else if (before) {
        // Back where one came from, for eyes and for the keyboard.
        scrollTo(0, position);
        const link = all("#images a").find((one) => one.hash === `#${before.id}` && one.offsetParent);
        (link ?? one("#images")).focus({ preventScroll: true });
      }
    };
    // The browser scrolls to the address's target before the page hears of it.
    let lastScroll = 0;
    addEventListener("scroll", () => { if (!opened) lastScroll = scrollY; }, { passive: true });
    document.addEventListener("click", () => { if (!opened) lastScroll = scrollY; }, true);
    addEventListener("hashchange", show);
    show();
  };

  document.addEventListener("DOMContentLoaded", () => {
    const data = JSON.parse(one("#data").textContent);
    setUpTheme();
    setUpCopying();
    const region = setUpRegion();
    setUpList(data, region);
    setUpViews(data, region);
  });
})();
