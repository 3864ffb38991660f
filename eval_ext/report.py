"""Makes one HTML page of evaluation results that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from eval_ext.generators import Generated, generator_costs, generator_origins, generator_section, read_generators
from eval_ext.lmms.answers import REQUEST_FAILED
from eval_ext.published import published, tables_for
from eval_ext.report_cases import asked, to_look_through
from eval_ext.report_costs import costs, moment, origins
from eval_ext.report_figures import (
    MEASURES,
    Entry,
    bars,
    categories,
    compared,
    counted,
    further,
    headline,
    measured,
    share,
)
from eval_ext.results import TAKEN, Run, TaskResult, read_runs
from eval_ext.vlmeval_results import read_vlmeval
from unireward_plugins.errors import UniRewardError

BUILDERS = ("json", "csv", "parquet", "text", "pandas", "arrow", "imagefolder", "videofolder")
"""Names of `datasets.load_dataset` for files on the machine, which say nothing of where data comes from."""
TITLES = {
    "unireward_editreward": "EditReward-Bench, sets of",
    "unireward_mmrb2": "Multimodal RewardBench 2,",
    "unireward_multimodal_rewardbench": "Multimodal RewardBench",
}
"""What the benchmarks are called whose tasks have no published table of their own, by how the tasks' names begin."""
Tasks = Mapping[str, Sequence[Entry]]
"""What the judges did, by task."""


def read_results(folders: Sequence[Path]) -> tuple[list[Run], list[Generated]]:
    """All that evaluations left in some folders: runs of lmms-eval and VLMEvalKit, the oldest first, and generators.

    What lies in several of the folders is read once. Raises `UniRewardError` for a folder that holds nothing of these.
    """
    runs: dict[Path, Run] = {}
    generated: dict[Path, Generated] = {}
    for folder in folders:
        here, judged = read_generators(folder), read_vlmeval(folder)
        judged += read_runs(folder, may_be_none=True)
        if not (here or judged):
            raise UniRewardError(
                f"{folder} holds no results of an evaluation. Give a folder that `lmms-eval --output_path FOLDER "
                "--log_samples` wrote (*_results.json), `unireward eval-generator --output FOLDER` (results.json) or "
                "`unireward vlmeval --work-dir FOLDER` (*_unireward.json), or one that holds several of them"
            )
        runs |= {run.file.resolve(): run for run in judged}
        generated |= {one.folder.resolve(): one for one in here}
    return sorted(runs.values(), key=lambda run: run.date), list(generated.values())


def write_report(runs: Sequence[Run], generated: Sequence[Generated], path: Path) -> None:
    """Write the page about runs and generators, of which there is one at least.

    Raises `UniRewardError` where there is no folder for it.
    """
    if not path.absolute().parent.is_dir():
        raise UniRewardError(f"the page cannot be written: there is no folder {path.absolute().parent}. Make it first")
    path.write_text(page(runs, generated), encoding="utf-8")


def page(runs: Sequence[Run], generated: Sequence[Generated] = ()) -> str:
    """The page as HTML: `report.html` with its blanks filled in.

    A judge that did a task several times in the same way appears with its newest run.
    """
    here, tasks = files("eval_ext"), by_task(runs)
    entries = [entry for found in tasks.values() for entry in found]
    measured_names = list(dict.fromkeys([entry.label for entry in entries]))
    measured_names += [" against ".join(one.names.values()) for one in generated]
    return Template(here.joinpath("report.html").read_text(encoding="utf-8")).substitute(
        style=here.joinpath("report.css").read_text(encoding="utf-8"),
        title=escape(f"Results: {measured_names[0]}" if len(measured_names) == 1 else "Results"),
        about=escape(", ".join(what_there_is(runs, tasks, generated))),
        numbers=numbers(entries, generated),
        overview=overview(tasks),
        sections="\n".join(
            [*(section(task, found) for task, found in tasks.items()), *map(generator_section, generated)]
        ),
        costs="\n".join([costs(entries), *(row for one in generated for row in generator_costs(one))]),
        origins="\n".join([*origins(entries), *map(generator_origins, generated)]),
        meanings=meanings(entries),
    )


def what_there_is(runs: Sequence[Run], tasks: Tasks, generated: Sequence[Generated]) -> Iterator[str]:
    """How much the page is about."""
    used = {entry.run.file: entry.run for entries in tasks.values() for entry in entries}
    if tasks:
        yield counted(len(tasks), "task")
        yield counted(len({entry.label for entries in tasks.values() for entry in entries}), "judge")
    if generated:
        yield counted(len(generated), "generator run")
    if len(used) < len(runs):
        yield f"{counted(len(runs) - len(used), 'older run')} of the same left out"
    if used:
        yield moment(max(run.date for run in used.values())).partition(" ")[0]


def by_task(runs: Sequence[Run]) -> dict[str, list[Entry]]:
    """The newest result of every judge in every task; the tasks in order of their names."""
    ways = {(run.model, run.settings.get("model arguments", "")): run for run in runs}
    names = [model for model, _ in ways]
    labels = {
        way: way[0] if names.count(way[0]) == 1 else f"{way[0]} ({way[1]})" for way in sorted(ways, key=lambda way: way)
    }
    colours = {way: number for number, way in enumerate(labels)}
    found: dict[str, dict[tuple[str, str], Entry]] = {}
    for run in runs:  # the oldest first, so that the newest stays
        way = (run.model, run.settings.get("model arguments", ""))
        for task, result in run.tasks.items():
            found.setdefault(task, {})[way] = Entry(labels[way], colours[way], run, result)
    return {task: [found[task][way] for way in labels if way in found[task]] for task in sorted(found)}


def numbers(entries: Sequence[Entry], generated: Sequence[Generated]) -> str:
    """What came out, in a few numbers."""
    told = [*judged_numbers(entries)] if entries else []
    for one in generated:
        for judge in one.results["judges"]:
            if judge["games"] and judge["games"]["win_rate"]["value"] is not None:
                games = judge["games"]
                meaning = (
                    f"of the points goes to {one.names['pipeline']} against {one.names['against']}, "
                    f"says {judge['name']}: {games['won']:,} won, {games['tied']:,} tied, {games['lost']:,} lost"
                )
                told.append((share(judge["games"]["win_rate"]["value"]), meaning))
    return "\n".join(
        f'<div class="number"><b>{escape(number)}</b><span>{escape(meaning)}</span></div>' for number, meaning in told
    )


def judged_numbers(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """The numbers of runs of lmms-eval and VLMEvalKit, each with what it counts."""
    ours = [entry for entry in entries if entry.result.provenance and entry.took_part]
    if ours:
        pairs = [one for entry in ours for one in asked(entry.result) if one.read_twice]
        items = sum(entry.result.items - entry.result.provenance.get("half_pairs", 0) for entry in ours)
        yield f"{items:,}", "pairs and single candidates judged"
        if pairs and len({entry.label for entry in ours}) == 1:
            flips = sum(one.flips for one in pairs) / len(pairs)
            yield share(flips), f"of the {len(pairs):,} pairs read in both orders change the choice with the order"
        yield f"{sum(map(unread_replies, ours)):,}", "replies hold no verdict"
    else:
        yield f"{sum(entry.result.documents for entry in entries):,}", "documents"
    runs = {entry.run.file: entry.run for entry in entries}.values()
    seconds = [float(run.settings[TAKEN]) for run in runs if TAKEN in run.settings]
    if seconds:
        minutes, rest = divmod(round(sum(seconds)), 60)
        yield f"{minutes}:{rest:02d}", "minutes for all runs, loading included"


def unread_replies(entry: Entry) -> int:
    """How many replies held no verdict; what was not asked, and requests that failed, are no replies."""
    found: Mapping[str, int] = entry.result.provenance.get("unread", {})
    return sum(count for reason, count in found.items() if reason not in ("unsupported", REQUEST_FAILED))


def overview(tasks: Tasks) -> str:
    """The one figure that stands for each task of ours, as bars; nothing for a single task."""
    named = []
    for task, entries in tasks.items():
        values = [(entry, found[1], found[2]) for entry in entries if (found := headline(entry.result))]
        if values:
            named.append((title_of(task), values))
    if len(named) < 2:
        return ""
    told = '<p class="under">The share of right answers in each task; the tables below say of what.</p>'
    return f"<h2>At a glance</h2>{told}{bars(named, chance=False)}"


def section(task: str, entries: Sequence[Entry]) -> str:
    """All about one task."""
    ours = [entry for entry in entries if entry.result.provenance]
    parts = [f'<section id="{escape(task)}"><h2>{escape(title_of(task))}</h2>{about(task, entries[0].result)}']
    parts += [f'<p class="under">{note}</p>' for entry in ours for note in remarks(entry)]
    if ours and not any(entry.took_part for entry in ours):
        return "\n".join([*parts, "</section>"])
    if ours:
        parts += [measured(entries), categories(ours)]
    parts.append(further(entries))
    parts += [compared(table, entries) for table in tables_for(task)]
    for entry in (entry for entry in ours if entry.took_part):
        found = to_look_through(entry.result)
        if found and len(ours) > 1:
            parts.append(f"<h3>{entry.swatch}</h3>")
        parts.append(found)
    return "\n".join([*parts, "</section>"])


def title_of(task: str) -> str:
    """What a task is called: as the published figures of it alone are, or by its own name in words."""
    for table in published():
        if {column.task for column in table.columns} == {task}:
            return table.title
    for start, benchmark in TITLES.items():
        if task.startswith(start):
            return benchmark + task.removeprefix(start).replace("_", " ")
    words = task.removeprefix("unireward_").replace("_", " ")
    return words[:1].upper() + words[1:]


def about(task: str, result: TaskResult) -> str:
    """Which data the task is, in a line."""
    settings, dataset = result.settings, str(result.settings.get("dataset_path"))
    if dataset in BUILDERS:
        data = ""
    else:
        split = settings.get("test_split") or settings.get("validation_split")
        parts = ("/".join(Path(dataset).parts[-2:]), settings.get("dataset_name"), split)
        data = " · " + ", ".join(str(part) for part in parts if part)
    return f'<p class="under"><code>{escape(task)}</code> · {counted(result.documents, "document")}{escape(data)}</p>'


def remarks(entry: Entry) -> Iterator[str]:
    """What a reader must know of a result before comparing it, as HTML."""
    told, name = entry.result.provenance, escape(entry.label)
    ways = told.get("asked", {})
    if ways.get("alone"):
        yield (
            f"{name} compares no candidates here: each was scored by itself, and the higher score wins. There is no "
            "order that a choice could follow."
        )
    if ways.get("not at all"):
        documents = counted(ways["not at all"], "document")
        yield f"{name} does not judge such cases ({documents}): nothing was measured there."
    failed = told.get("unread", {}).get(REQUEST_FAILED)
    if failed:
        requests = counted(failed, "request")
        yield f'<span class="bad">{requests} of {name} got no reply. No figure holds the items they were about.</span>'
    if told.get("half_pairs"):
        pairs = counted(told["half_pairs"], "pair")
        yield f"{name} was asked about {pairs} in one of two orders only (an odd --limit). No figure holds it."
    if told.get("left_out"):
        yield f"{counted(told['left_out'], 'row')} of the dataset cannot be put as a case, and were left out."
    if entry.took_part and (entry.result.available or 0) > entry.result.documents:
        available = counted(entry.result.available or 0, "document")
        yield f"{name} was asked about {entry.result.documents:,} of the {available} only."


def meanings(entries: Sequence[Entry]) -> str:
    """The measures on the page, each with its definition."""
    names = [name for name in MEASURES if any(name in entry.result.metrics for entry in entries)]
    return "\n".join(f"<dt>{escape(MEASURES[name][0])}</dt><dd>{escape(MEASURES[name][1])}</dd>" for name in names)
