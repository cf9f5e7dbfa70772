"""What forms and lists are made of: labelled fields with their faults, buttons, notices, tables."""

from collections.abc import Iterable, Mapping, Sequence

from aweigh.server.access.markup import Child, Html, joined, tag

Faults = Mapping[str, str]
"""What is wrong with a form: a sentence for each field, in the order of the fields; "" is the form as a whole."""


def field(  # noqa: PLR0913  each is one thing that HTML says of a field
    name: str,
    label: str,
    *,
    kind: str = "text",
    value: str = "",
    faults: Faults | None = None,
    hint: str = "",
    autocomplete: str = "off",
    required: bool = True,
    readonly: bool = False,
    focus: bool = False,
    invalid: bool = False,
    **attributes: str | int | bool | None,
) -> Html:
    """A text field under its label.

    The first wrong field of a form has the focus; a password can be shown.

    ``invalid`` marks a field without a fault of its own: what is wrong may be here or elsewhere.
    """
    fault, is_first = _fault(name, faults)
    shown: Child = None
    if kind == "password":
        shown = tag(
            "button", "Show", type="button", class_="show", hidden=True, aria_controls=name, aria_pressed="false",
            aria_label=f"Show {label.lower()}",
        )  # fmt: skip
    box = tag(
        "input",
        id=name,
        name=name,
        type=kind,
        value=value if kind != "password" else None,
        autocomplete=autocomplete,
        required=required,
        readonly=readonly,
        autofocus=is_first or (focus and not any(one for one in faults or ())),
        aria_invalid="true" if fault or invalid else None,
        aria_describedby=_described(name, hint=hint, fault=fault),
        **{"autocapitalize": "none", "spellcheck": "false", **attributes},
    )
    boxed = tag("div", box, shown, class_="box")
    return tag("div", _label(name, label, hint), boxed, _told(name, fault), class_="field")


def code_field(faults: Faults | None = None, *, focus: bool = False) -> Html:
    """The field of a code from an authenticator app; phones offer digits, and codes that came by message."""
    return field(
        "code",
        "Code",
        autocomplete="one-time-code",
        faults=faults,
        focus=focus,
        inputmode="numeric",
        maxlength=16,
        class_="code",
    )


def choice(
    name: str,
    label: str,
    options: Sequence[tuple[str, str]],
    *,
    value: str = "",
    faults: Faults | None = None,
    hint: str = "",
) -> Html:
    """A list to choose one of: pairs of value and text."""
    fault, is_first = _fault(name, faults)
    made = [tag("option", text, value=one, selected=one == value) for one, text in options]
    box = tag(
        "select",
        made,
        id=name,
        name=name,
        autocomplete="off",
        autofocus=is_first,
        aria_invalid="true" if fault else None,
        aria_describedby=_described(name, hint=hint, fault=fault),
    )
    return tag(
        "div", _label(name, label, hint), tag("div", box, class_="box choice"), _told(name, fault), class_="field"
    )


def checks(
    name: str,
    label: str,
    options: Sequence[tuple[str, str, str]],
    *,
    chosen: Iterable[str] = (),
    faults: Faults | None = None,
) -> Html:
    """Boxes to tick: triples of value, text and hint."""
    fault, is_first = _fault(name, faults)
    ticked = set(chosen)
    made = []
    for number, (value, text, hint) in enumerate(options):
        box = tag(
            "input",
            type="checkbox",
            name=name,
            value=value,
            checked=value in ticked,
            autofocus=is_first and number == 0,
            aria_describedby=f"{name}-fault" if fault else None,
        )
        made.append(tag("label", box, tag("span", text), tag("span", hint, class_="hint") if hint else None))
    return tag("fieldset", tag("legend", label), tag("div", made, class_="checks"), _told(name, fault), class_="field")


def form(action: str, *children: Child, button: str, look: str = "button", beside: Child = None) -> Html:
    """A form that is posted, with its one button."""
    act = tag("div", tag("button", button, class_=look, type="submit"), beside, class_="act")
    return tag("form", children, act, method="post", action=action)


def link(text: str, href: str, *, look: str = "button plain") -> Html:
    """A link that looks like a button."""
    return tag("a", text, href=href, class_=look)


def notice(text: Child, *, look: str = "") -> Html:
    """What was done, said aloud by screen readers."""
    return tag("div", tag("p", text), class_=f"notice {look}".strip(), role="status")


def faults_notice(faults: Faults | None) -> Html:
    """What is wrong with the form as a whole, above it; a field's own fault stands at the field."""
    text = (faults or {}).get("", "")
    return tag("div", tag("p", text), class_="notice failed", role="alert") if text else Html()


def table(caption: str, heads: Sequence[str], rows: Sequence[Html]) -> Html:
    """A table; on a phone each row is a block, and ``cell`` says the column's name again."""
    made = [tag("th", head, scope="col") if head else tag("td") for head in heads]
    head = tag("thead", tag("tr", made))
    return tag("table", tag("caption", caption, class_="hidden"), head, tag("tbody", rows))


def cell(label: str, *children: Child, look: str = "") -> Html:
    """A cell that knows its column's name; an empty one is left out on a phone."""
    if not any(children):
        return tag("td")
    return tag("td", tag("div", children), data_label=label, class_=look or None)


def facts(*pairs: tuple[str, Child]) -> Html:
    """Names and values, one a line."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs], class_="facts")


def badge(text: str, look: str = "") -> Html:
    """A word on a ground of its own."""
    return tag("span", text, class_=f"tag {look}".strip())


def shown_once(title: str, about: Child, value: Child, *, name: str = "value", more: Child = None) -> Html:
    """A value that is shown this once, to be copied."""
    copy = tag("button", "Copy", type="button", class_="button plain copy", hidden=True, aria_controls=name)
    line = tag("div", tag("code", value, id=name, tabindex="0"), copy, class_="value")
    told = tag("p", class_="hidden", role="status")
    return tag("div", tag("h2", title), tag("p", about), line, told, more, class_="once", role="group")


def in_groups(text: str, size: int = 4) -> str:
    """The text in groups, as people read it out to each other."""
    return " ".join(text[at : at + size] for at in range(0, len(text), size))


def _fault(name: str, faults: Faults | None) -> tuple[str, bool]:
    """The field's fault, and whether it is the first one of the form."""
    if not faults or not faults.get(name):
        return "", False
    return faults[name], name == next(one for one in faults if one)


def _label(name: str, label: str, hint: str) -> Html:
    told = tag("p", hint, class_="hint", id=f"{name}-hint") if hint else None
    return joined(tag("label", label, for_=name), told)


def _told(name: str, fault: str) -> Child:
    return tag("p", fault, class_="fault", id=f"{name}-fault", role="alert") if fault else None


def _described(name: str, *, hint: str, fault: str) -> str | None:
    found = [f"{name}-{what}" for what, text in (("hint", hint), ("fault", fault)) if text]
    return " ".join(found) or None
