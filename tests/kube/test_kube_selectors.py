import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kube.selectors import (
    SelectorError,
    is_label_value,
    is_qualified_name,
    label_selector_from,
    parse_field_selector,
    parse_label_selector,
)

LABELS = {"app": "web", "tier": "front", "weight": "7"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("missing!=web", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api,db)", True),
        ("missing notin (api)", True),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("weight>6", True),
        ("weight<6", False),
        ("app>6", False),
        ("app=", False),
        ("missing in ()", False),
        (" app = web , tier in ( front ) ", True),
    ],
)
def test_label_selector(selector: str, matches: bool) -> None:
    assert parse_label_selector(selector).matches(LABELS) is matches


@pytest.mark.parametrize(
    "selector",
    ["a=b=c", "a in b", "!", "a in (b", "=x", "a,,b", "a>x", "a!", "-a=b", "a=b c", "a=/x", "a/b/c=d", "a=-"],
)
def test_bad_label_selector_is_refused(selector: str) -> None:
    with pytest.raises(SelectorError):
        parse_label_selector(selector)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_label_selector_object(selector: dict | None, matches: bool) -> None:
    assert label_selector_from(selector).matches(LABELS) is matches


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["b"]},
        {"key": "a", "operator": "Like", "values": ["b"]},
    ],
)
def test_bad_expression_is_refused(expression: dict) -> None:
    with pytest.raises(SelectorError):
        label_selector_from({"matchExpressions": [expression]})


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=web", True),
        ("metadata.name!=web", False),
        ("status.phase==Running,metadata.name=web", True),
        (r"note=a\,b\=c", True),
        ("missing=", True),
    ],
)
def test_field_selector(selector: str, matches: bool) -> None:
    fields = {"metadata.name": "web", "status.phase": "Running", "note": "a,b=c"}
    assert parse_field_selector(selector).matches(lambda path: fields.get(path, "")) is matches


def test_field_selector_needs_an_operator() -> None:
    with pytest.raises(SelectorError, match="can't understand 'name'"):
        parse_field_selector("name")


_names = st.from_regex(r"\A[A-Za-z0-9]([-A-Za-z0-9_.]{0,10}[A-Za-z0-9])?\Z")
_labels = st.dictionaries(_names, _names, max_size=5)


@given(_labels, _labels)
def test_equality_selectors_match_exactly_the_supersets(wanted: dict, have: dict) -> None:
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    expected = all(have.get(key) == value for key, value in wanted.items())
    assert parse_label_selector(text).matches(have) is expected
    assert label_selector_from({"matchLabels": wanted}).matches(have) is expected


@given(_names.filter(lambda n: n not in ("in", "notin")), st.lists(_names, min_size=1, max_size=4), _labels)
def test_in_and_notin_are_opposites(key: str, values: list, have: dict) -> None:
    inside = parse_label_selector(f"{key} in ({','.join(values)})").matches(have)
    outside = parse_label_selector(f"{key} notin ({','.join(values)})").matches(have)
    assert inside is not outside


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        selector = parse_label_selector(text)
    except SelectorError:
        return
    assert all(is_qualified_name(r.key) for r in selector.requirements)
    assert all(is_label_value(v) for r in selector.requirements for v in r.values)
