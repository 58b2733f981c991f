"""The page as a whole: what stands on it, well formed, closed to the network, and the same every time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest

from tests.report.fake_study import NASTY, fake_study, one_system, training_log
from tests.report.page import Element, read_page
from tunesmith.records import Chunk, Document, Prediction, Score, Summary, Verdict
from tunesmith.report.metrics import VERDICT_SIGNS
from tunesmith.report.stage import Source, Study, count_sources, metrics_csv, render_report, summary_markdown


@pytest.fixture(scope="module")
def study() -> Study:
    return fake_study()


@pytest.fixture(scope="module")
def html(study: Study) -> str:
    return render_report(study)


@pytest.fixture(scope="module")
def page(html: str) -> Element:
    return read_page(html)


def section(page: Element, name: str) -> Element:
    found = page.all("section", id=name)
    assert len(found) == 1, f"no section {name}"
    return found[0]


def section_names(html: str) -> list[str]:
    return [element.attributes["id"] or "" for element in read_page(html).all("section")]


def test_the_verdict_comes_first_and_the_command_last(page: Element) -> None:
    names = [element.attributes["id"] for element in page.all("section")]
    assert names == [
        "verdict", "validity", "metrics", "items", "training", "tokens", "data", "answers", "settings", "again",
    ]  # fmt: skip


def test_the_verdict_box_says_what_was_found_on_what(study: Study, page: Element) -> None:
    primary = next(item for item in study.comparisons if item.is_primary)
    box = section(page, "verdict")
    text = box.text()
    assert primary.words in text
    assert box.all("div", class_="verdict")[0].attributes["class"] == "verdict better"
    for part in (
        "60 items",
        "in 5 documents",
        "Smallest effect",
        "Open book",
        "builtin (rules, no model)",
        "51 better",
    ):
        assert part in text, part


def test_the_metric_table_holds_every_comparison_with_its_numbers(study: Study, page: Element) -> None:
    lines = section(page, "metrics").all("table", class_="metrics")[0].lines()
    assert len(lines) == 1 + 8
    assert lines[1][0].startswith("ROUGE-L ↑")
    assert lines[1][0].endswith("primary")
    perplexity = next(item for item in study.comparisons if item.metric == "perplexity")
    line = next(line for line in lines if line[0].startswith("Perplexity"))
    assert "↓" in line[0]
    assert perplexity.difference is not None
    assert perplexity.difference < 0
    assert line[3].startswith(f"−{abs(perplexity.difference):.1f}")
    assert line[4] == "< 0.001Holm 0.003"
    assert perplexity.n_better is not None
    assert perplexity.n_worse is not None
    same = 60 - perplexity.n_better - perplexity.n_worse
    assert line[5] == f"{perplexity.n_better} / {same} / {perplexity.n_worse}"
    assert line[7] == "▲ better"
    signatures = [
        element.text() for element in section(page, "metrics").all("ol", class_="signatures")[0].all("li")
    ]
    assert signatures == [item.signature for item in study.comparisons]


def test_every_footnote_leads_to_its_signature(page: Element) -> None:
    anchors = {element.attributes.get("id") for element in page.walk()}
    links = [element.attributes["href"] or "" for element in page.all("a")]
    assert len(links) > 20
    assert [link for link in links if link[1:] not in anchors] == []


def test_ids_are_unique(page: Element) -> None:
    names = [element.attributes["id"] for element in page.walk() if element.attributes.get("id")]
    assert len(names) > 100
    assert len(set(names)) == len(names)


def test_everything_an_svg_uses_is_defined_on_the_page(page: Element) -> None:
    anchors = {element.attributes.get("id") for element in page.walk()}
    used = [element.attributes.get("href") or "" for element in page.all("use")]
    clips = [
        found for element in page.walk() for found in re.findall(r"url\((#[^)]*)\)", str(element.attributes))
    ]
    assert used
    assert clips
    assert [name for name in used + clips if name[1:] not in anchors] == []


def test_every_picture_has_words_and_says_how_many_items_it_shows(page: Element) -> None:
    figures = page.all("figure")
    assert len(figures) == 8 + 1 + 1 + 1  # a box for each metric, the differences, the documents, the loss
    for figure in figures:
        assert figure.all("div", role="img")[0].attributes["aria-label"]
        assert re.search(r"n = \d", figure.all("figcaption")[0].text())
    assert all(svg.attributes["aria-hidden"] == "true" for svg in page.all("svg"))


def test_the_page_is_closed_to_the_network(html: str, page: Element) -> None:
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", html) == []
    assert not [
        element
        for element in page.walk()
        if element.tag in ("link", "iframe", "object", "embed", "base", "img")
    ]
    assert not [element for element in page.walk() if "src" in element.attributes]
    assert "@import" not in html
    assert "url(" not in html.split("</style>")[0]
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"] or ""
    assert policy.startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-"
    )
    assert "script-src 'unsafe" not in policy


def test_the_only_script_is_the_one_the_policy_names(html: str) -> None:
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def with_text_everywhere(study: Study, text: str) -> Study:
    """The study with `text` in every place that a model, a document or a user fills."""
    systems = {"base": f"{text} base", "tuned": f"{text} tuned"}
    metrics = {"rougeL": f"{text} metric"}

    def renamed(item):  # type: ignore[no-untyped-def]
        return replace(item, metric=metrics.get(item.metric, item.metric), system=systems[item.system])

    rows = [
        replace(row, source_id=text, instruction=text, context=text, completion=text) for row in study.rows
    ]
    return replace(
        study,
        name=text,
        created=text,
        command=text,
        teacher=text,
        base=text,
        plan={text: text},
        manifest={text: {"key": text, "seconds": 1.0, "versions": {text: text}}},
        sources=[replace(item, source_id=text, title=f"{text} title") for item in study.sources],
        notes=[replace(note, source_id=text, rule=text, text=text) for note in study.notes],
        refused=[
            replace(item, source_id=text, check=text, reason=text, instruction=text, target=text, raw=text)
            for item in study.refused
        ],
        rows=rows,
        leaks=[{"rule": text, "evidence": text}],
        scores=[renamed(item) for item in study.scores],
        summaries=[renamed(item) for item in study.summaries],
        training={
            systems["tuned"]: replace(
                training_log(), first_example=((text, False), (text, True)), notes=(text,)
            )
        },
        predictions=[
            replace(
                item,
                system=systems[item.system],
                text=text,
                references=(text,),
                source_id=f"{text}{index % 2}",
                prompt=text,
            )
            for index, item in enumerate(study.predictions)
        ],
        comparisons=[
            replace(
                item,
                base=systems["base"],
                tuned=systems["tuned"],
                metric=metrics.get(item.metric, item.metric),
                words=text,
                signature=text,
                warnings=(text,),
            )
            for item in study.comparisons
        ],
    )


def test_no_text_of_a_model_or_a_document_becomes_markup(study: Study) -> None:
    html = render_report(with_text_everywhere(study, NASTY))
    page = read_page(html)
    assert "<img" not in html
    assert "<b>bold" not in html
    assert html.count("</script") == 1
    assert "onerror" not in {name for element in page.walk() for name in element.attributes}
    assert page.all("h1")[0].text() == NASTY
    answers = section(page, "answers").all("div", class_="answer")
    assert len(answers) > 8
    assert all(NASTY in answer.text() for answer in answers)


def test_signs_that_svg_or_a_formula_would_take_for_its_own(study: Study) -> None:
    """Document names stand in a plot: matplotlib must not read $…$ as a formula, nor our own edits an attribute."""
    name = r'$\frac{1}{0}$ id="x" #010101'
    predictions = [
        replace(item, source_id=name if item.source_id == "bread/ovens.md" else item.source_id)
        for item in study.predictions
    ]
    labels = [
        text.text() for text in read_page(render_report(replace(study, predictions=predictions))).all("text")
    ]
    assert any(label.startswith(name) for label in labels)


def test_the_same_study_gives_the_same_bytes(study: Study, html: str) -> None:
    code = (
        "import hashlib, sys\n"
        "from tests.report.fake_study import fake_study\n"
        "from tunesmith.report.stage import render_report\n"
        "print(hashlib.sha256(render_report(fake_study()).encode()).hexdigest())\n"
    )
    paths = [path for path in sys.path if path]
    again = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        capture_output=True, text=True, check=True, timeout=60, env={"PYTHONHASHSEED": "12345", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert again.stdout.strip() == hashlib.sha256(html.encode()).hexdigest()


def test_drawing_leaves_matplotlib_as_it_was(study: Study) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    pyplot_was_loaded = "matplotlib.pyplot" in sys.modules
    render_report(study)
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == pyplot_was_loaded


def test_five_hundred_items_stay_under_a_megabyte() -> None:
    html = render_report(fake_study(500))
    assert len(html.encode()) < 1_000_000
    answers = section(read_page(html), "answers")
    assert len(answers.all("article")) == 24
    assert "24 of 500 test items" in answers.text()


def test_long_lists_are_cut_and_the_rest_is_counted(study: Study) -> None:
    sources = [Source(f"notes/{number:03d}.md", "", 100, 2) for number in range(75)]
    data = section(
        read_page(render_report(replace(study, sources=sources, examples=[], rows=[], refused=[]))), "data"
    )
    assert "15 more documents not shown" in data.text()


def test_the_data_section_counts_what_came_in_and_what_was_turned_down(page: Element) -> None:
    data = section(page, "data")
    steps = {
        item.all("span", class_="name")[0].text(): item.all("span", class_="size")[0].text()
        for item in data.all("li")
        if item.all("span", class_="size")
    }
    assert steps == {
        "Documents read": "12",
        "Passages": "114",
        "Drafts written": "307",
        "Accepted": "266",
        "Rows": "265",
        "train": "180",
        "validation": "25",
        "test": "60",
    }
    refused = data.all("table")[0].lines()
    assert [line[:2] for line in refused[1:3]] == [["near duplicate", "23"], ["grounded", "9"]]
    assert "bread/scan.pdf: no text on any of 8 pages" in data.text()
    notes = data.all("table")[2].lines()
    assert ["repeated line", "54", "2"] in [line[:3] for line in notes]


def test_only_what_is_learnt_is_marked(page: Element) -> None:
    marked = [mark.text() for mark in section(page, "tokens").all("pre")[0].all("mark")]
    assert marked == ["240 degrees.<|end|>"]


def test_settings_hold_plan_seeds_versions_and_keys(page: Element) -> None:
    text = section(page, "settings").text()
    for part in (
        "lora_r: 16",
        "prepare.split.seed: 11",
        "torch 2.13.0",
        "1 min 38 s",
        "1.3 GB",
        "2 min 33 s all told",
    ):
        assert part in text, part
    assert section(page, "again").all("pre")[0].text() == "tunesmith run plan.yaml train.lora_r=16"


def test_the_page_names_no_metric_better_that_has_no_better(study: Study) -> None:
    summaries = [
        *study.summaries,
        *(Summary(name, "length_ratio", 1.2, 1.1, 1.3, 60, 5, True, "words") for name in ("base", "tuned")),
    ]
    page = read_page(render_report(replace(study, summaries=summaries)))
    tables = section(page, "metrics").all("table")
    assert len(tables) == 2
    assert tables[1].lines()[1] == ["Length ratio9", "1.201.10 to 1.30", "1.201.10 to 1.30"]
    assert "Length ratio" not in section(page, "items").text()


# Parts missing


def test_with_nothing_but_a_name_there_is_still_a_page() -> None:
    html = render_report(Study("empty", "", "", "none", "a teacher", "a model"))
    assert section_names(html) == ["verdict", "validity"]
    text = read_page(html).text()
    assert "No system has answered yet" in text
    assert "Closed book" in text
    assert "script-src" not in html
    assert "nan" not in text.lower().split()


def test_one_system_has_scores_but_no_verdict(study: Study) -> None:
    page = read_page(render_report(one_system(study)))
    assert "Only “base” has answered" in section(page, "verdict").text()
    lines = section(page, "metrics").all("table")[0].lines()
    assert len(lines) == 1 + 8
    assert lines[1][0] == "base"
    assert len(section(page, "items").all("figure")) == 8
    assert not page.all("section", id="answers")
    assert not page.all("section", id="training")


def test_without_a_primary_metric_none_decides(study: Study) -> None:
    comparisons = [replace(item, is_primary=False) for item in study.comparisons]
    box = section(read_page(render_report(replace(study, comparisons=comparisons))), "verdict")
    assert box.all("div", class_="verdict")[0].attributes["class"] == "verdict none"
    assert "No metric was named" in box.text()


def test_a_metric_that_could_not_be_computed_is_a_dash_with_its_reason(study: Study) -> None:
    broken = replace(
        study.comparisons[1], base_value=None, tuned_value=None, difference=None, low=None, high=None, p=None,
        p_holm=None, n=0, n_better=None, n_worse=None, smallest_detectable=None, verdict="invalid",
        words="every item failed: no encoder",
    )  # fmt: skip
    changed = replace(study, comparisons=[study.comparisons[0], broken, *study.comparisons[2:]])
    metrics = section(read_page(render_report(changed)), "metrics")
    line = metrics.all("table")[0].lines()[2]
    assert line[3] == "–every item failed: no encoder"
    assert line[5] == "–"
    assert line[7] == "✕ invalid"
    assert "want of an interval or of any spread: BLEU" in metrics.text()


def test_two_tuned_systems_get_a_verdict_and_a_table_each(study: Study) -> None:
    def as_second(items: list) -> list:  # type: ignore[type-arg]
        return [replace(item, system="second") for item in items if item.system == "tuned"]

    both = replace(
        study,
        predictions=[*study.predictions, *as_second(list(study.predictions))],
        scores=[*study.scores, *as_second(list(study.scores))],
        summaries=[*study.summaries, *as_second(list(study.summaries))],
        comparisons=[*study.comparisons, *(replace(item, tuned="second") for item in study.comparisons)],
    )
    page = read_page(render_report(both))
    assert len(section(page, "verdict").all("div", class_="verdict")) == 2
    assert len(section(page, "metrics").all("table")) == 2
    assert [item.text() for item in section(page, "items").all("figure")[0].all("text")][:3] == [
        "base",
        "tuned",
        "second",
    ]


def test_values_that_are_all_the_same_make_no_empty_plot(study: Study) -> None:
    same = [replace(score, value=0.5) for score in study.scores]
    page = read_page(render_report(replace(study, scores=same)))
    assert not page.all("section", id="items")
    assert not section(page, "metrics").all("figure")


# Beside the page


def test_the_csv_holds_the_numbers_unrounded(study: Study) -> None:
    lines = list(csv.DictReader(io.StringIO(metrics_csv(study))))
    assert [line["metric"] for line in lines] == [item.metric for item in study.comparisons]
    assert float(lines[0]["difference"]) == study.comparisons[0].difference
    gone = metrics_csv(replace(study, comparisons=[replace(study.comparisons[0], p=None)]))
    assert next(csv.DictReader(io.StringIO(gone)))["p"] == ""


def test_the_markdown_has_the_verdict_and_one_line_a_metric(study: Study) -> None:
    text = summary_markdown(study)
    assert f"**Better.** {study.comparisons[0].words}" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 8
    assert {line.count("|") for line in table} == {9}
    assert "60 items in 5 documents" in text


def test_the_markdown_cannot_be_broken_by_a_name(study: Study) -> None:
    text = summary_markdown(replace(study, name="a | b <script>", teacher="x\n# y"))
    assert text.startswith("## a \\| b &lt;script>")
    assert "\n# y" not in text


def test_the_markdown_of_one_system(study: Study) -> None:
    text = summary_markdown(one_system(study))
    assert "Not compared: base only." in text
    assert text.count("| base |") == 8


def test_sources_are_counted_from_streams() -> None:
    documents = [Document("1", "a.md", "A", "one two three"), Document("2", "b.md", "B", "")]
    chunks = [Chunk(str(n), "a.md", "A", None, "one", 0, 3, None, None, 1) for n in range(2)]
    assert count_sources(iter(documents), iter(chunks)) == (
        Source("a.md", "A", 3, 2, tokens=2),
        Source("b.md", "B", 0, 0, tokens=0),
    )


def test_a_long_untrained_prompt_loses_its_middle_not_its_end() -> None:
    log = replace(training_log(), first_example=(("a" * 9000 + "THE END", False), ("answer", True)))
    study = Study("s", "", "", "none", "t", "b", training={"tuned": log})
    text = section(read_page(render_report(study)), "tokens").all("pre")[0].text()
    assert "characters left out" in text
    assert text.endswith("THE ENDanswer")


def test_items_on_which_only_one_system_has_a_value(study: Study) -> None:
    """Unpaired values have no line and no difference, but the page stands."""
    ids = sorted({score.id for score in study.scores})
    gone = set(ids[:20])
    scores = [
        replace(score, value=None, stats=None, status="empty")
        if score.id in gone and score.system == "base"
        else score
        for score in study.scores
    ]
    page = read_page(render_report(replace(study, scores=scores)))
    assert "ROUGE-L, base: 20 empty" in section(page, "validity").text()
    assert "n = 40 to 60 items" in section(page, "items").text()


def test_a_minimal_pair_without_rows_or_training() -> None:
    """What somebody has who brings predictions and scores made elsewhere."""
    predictions = [
        Prediction(str(n), "s", name, "p", f"{name} {n}", ("base 0",), "ok")
        for n in range(3)
        for name in ("base", "tuned")
    ]
    scores = [
        Score(str(n), "s", name, "rougeL", (1.0,), n / 3) for n in range(3) for name in ("base", "tuned")
    ]
    summaries = [Summary(name, "rougeL", 0.5, None, None, 3, 1, True, "sig") for name in ("base", "tuned")]
    study = Study(
        "s", "", "", "none", "people", "b", predictions=predictions, scores=scores, summaries=summaries
    )
    page = read_page(render_report(study))
    articles = section(page, "answers").all("article")
    assert len(articles) == 3
    assert not [article for article in articles if article.all("details", class_="passage")]
    assert "have not been compared yet" in section(page, "verdict").text()


def test_the_built_in_teacher_is_named_in_words(study: Study) -> None:
    ours = replace(study, teacher="builtin", plan={})
    page = read_page(render_report(ours))
    for place in ("verdict", "validity", "data"):
        assert "by the built-in rules (no model)" in section(page, place).text()
    assert "by the built-in rules (no model)" in page.all("p", class_="about")[0].text()
    assert "by the built-in rules (no model);" in summary_markdown(ours)
    other = read_page(render_report(replace(study, teacher="a teacher")))
    assert "written by “a teacher” from" in section(other, "validity").text()


def judged(**fields: object) -> dict[str, object]:
    """A judge's summary with what the page shows of it."""
    rate = {"value": 0.625, "low": 0.41, "high": 0.8, "n": 4}
    return {
        "judge": "judge <b>", "words": "tuned won 2 of 4.", "n": 4, "wins": 2, "ties": 1, "losses": 0, "unparsed": 1,
        "net_win_rate": rate, "length_controlled": rate | {"notes": []}, "flip_rate": rate, "first_position": rate,
        "warnings": ["the judge prefers the answer shown first"],
        "unparsed_replies": [{"id": "7", "order": "base first", "vote": 0, "status": "off menu", "text": "<i>hm</i>"}],
    } | fields  # fmt: skip


def test_a_judge_has_its_section_only_when_there_was_one(study: Study, html: str) -> None:
    assert "judge" not in section_names(html)
    shown = section(read_page(render_report(replace(study, judge=judged()))), "judge").text()
    for part in (
        "judge <b>", "tuned won 2 of 4.", "2 won (50%)", "1 tied (25%)", "0 lost (0%)", "1 without a verdict (25%)",
        "Net win rate", "Verdict changed with the order", "prefers the answer shown first", "<i>hm</i>", "off menu",
    ):  # fmt: skip
        assert part in shown


def test_a_judge_without_an_order_shows_no_rates_of_order(study: Study) -> None:
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    summary = judged(flip_rate=nothing, first_position=nothing, warnings=[], unparsed_replies=[])
    shown = section(read_page(render_report(replace(study, judge=summary))), "judge").text()
    assert "shown first" not in shown
    assert "Reasons to doubt" not in shown


def test_floors_stand_beside_the_values_they_belong_to(study: Study) -> None:
    assert "Floor" not in section(read_page(render_report(study)), "metrics").text()
    floors = {("base", "rougeL"): 0.1234, ("tuned", "rougeL"): 0.1171}
    summaries = [replace(item, floor=floors.get((item.system, item.metric))) for item in study.summaries]
    shown = section(read_page(render_report(replace(study, summaries=summaries))), "metrics")
    row = next(row for row in shown.all("tr") if "ROUGE-L" in row.text())
    assert re.search(r"0\.123\d* / 0\.117", row.text())
    alone = replace(study, comparisons=(), summaries=summaries[:1])
    assert "0.123" in section(read_page(render_report(alone)), "metrics").text()
    assert "0.123" in summary_markdown(alone)


def test_constant_answers_are_shown_beside_the_metrics_of_labels(study: Study) -> None:
    constant = Summary("always yes (majority)", "accuracy", 0.64, 0.5, 0.75, 60, 5, True, "labels:given")
    with_them = replace(study, baselines=(constant,))
    shown = section(read_page(render_report(with_them)), "metrics").text()
    assert "always yes (majority)" in shown
    assert "0.64" in shown
    assert "| Accuracy | always yes (majority) | 0.6" in summary_markdown(with_them)
    assert "majority" not in render_report(study)


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_a_sign_and_a_place_on_the_page(study: Study, verdict: Verdict) -> None:
    found = [replace(item, verdict=verdict) for item in study.comparisons]
    shown = section(read_page(render_report(replace(study, comparisons=found))), "verdict")
    assert f"{VERDICT_SIGNS[verdict]} {verdict}" in shown.text()
