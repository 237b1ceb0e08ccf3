"""JUnit XML for continuous integration: one suite per group, one case per check.

    pass                          a case without children
    fail                          <failure type="recoverable | catastrophic">
    error                         <error type="error">: the lab's own fault
    inconclusive                  <error type="inconclusive">: JUnit has no third word, and a run that did
                                  not finish must not look green; `lab grade` ends with 5 for it, too
    skipped                       <skipped>

The score, the seed and the provider are properties of every suite.
"""

from __future__ import annotations

from xml.etree import ElementTree

from lab.core.verdict import CheckResult, Grade, Verdict

_UNPRINTABLE = {number: "\N{REPLACEMENT CHARACTER}" for number in range(32) if number not in (9, 10, 13)}
_UNPRINTABLE |= {0xFFFE: "\N{REPLACEMENT CHARACTER}", 0xFFFF: "\N{REPLACEMENT CHARACTER}"}


def junit_xml(grade: Grade) -> bytes:
    """The document, UTF-8 with an XML declaration."""
    groups: dict[str, list[CheckResult]] = {}
    for check in grade.checks:
        groups.setdefault(check.group or "checks", []).append(check)
    root = ElementTree.Element(
        "testsuites", {"name": _text(f"toil-lab {grade.exercise}")} | _counts(grade.checks)
    )
    for name, checks in groups.items():
        suite = ElementTree.SubElement(
            root, "testsuite", {"name": _text(f"{grade.exercise}.{name}")} | _counts(checks)
        )
        if grade.started_at:
            suite.set("timestamp", _text(grade.started_at[:19]))
        _properties(suite, grade)
        for check in checks:
            _case(suite, grade, check)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _properties(suite: ElementTree.Element, grade: Grade) -> None:
    values = {
        "automation": grade.automation,
        "seed": str(grade.seed),
        "provider": grade.provider,
        "earned": f"{grade.earned:g}",
        "possible": str(grade.possible),
        "verdict": grade.verdict.value,
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))


def _case(suite: ElementTree.Element, grade: Grade, check: CheckResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_text(f"{grade.exercise}.{check.axis.value}"),
        name=_text(check.title or check.id),
        time=f"{check.seconds:.3f}",
    )
    if check.verdict is Verdict.PASS:
        return
    tag, kind = {
        Verdict.FAIL: ("failure", check.severity.value),
        Verdict.ERROR: ("error", "error"),
        Verdict.INCONCLUSIVE: ("error", "inconclusive"),
        Verdict.SKIPPED: ("skipped", ""),
    }[check.verdict]
    child = ElementTree.SubElement(
        case, tag, message=_text(check.seen or check.expected or check.verdict.value)
    )
    if kind:
        child.set("type", kind)
        child.text = _text("\n".join(_lines(check)))


def _lines(check: CheckResult) -> list[str]:
    parts = [("expected", check.expected), ("seen", check.seen)]
    parts += [("evidence", text) for text in check.evidence]
    parts += [("look at", check.look_at), ("next", check.next_command)]
    return [f"{label}: {text}" for label, text in parts if text]


def _counts(checks: tuple[CheckResult, ...] | list[CheckResult]) -> dict[str, str]:
    verdicts = [check.verdict for check in checks]
    return {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.FAIL)),
        "errors": str(verdicts.count(Verdict.ERROR) + verdicts.count(Verdict.INCONCLUSIVE)),
        "skipped": str(verdicts.count(Verdict.SKIPPED)),
        "time": f"{sum(check.seconds for check in checks):.3f}",
    }


def _text(value: str) -> str:
    """What XML 1.0 can carry."""
    return value.translate(_UNPRINTABLE).encode("utf-8", errors="replace").decode()
