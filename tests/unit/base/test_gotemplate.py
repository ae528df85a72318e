"""Templates as Go writes them, on what the API answers."""

from __future__ import annotations

import pytest

from tiphys.base.gotemplate import TemplateError, render

POD = {
    "metadata": {"name": "web-1", "labels": {"tier": "front", "app": "web"}},
    "spec": {"replicas": 3, "big": 1000000, "half": 0.5, "on": True, "none": None},
    "status": {"containerStatuses": [{"name": "c", "state": {"running": {"at": "x"}}}, {"name": "d", "state": {}}]},
    "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b", "deletionTimestamp": "t"}}],
    "data": {"key": "aGVsbG8="},
}  # fmt: skip

RUNNING = (
    '{{if (exists . "status" "containerStatuses")}}{{range .status.containerStatuses}}'
    '{{if (and (eq .name "c") (exists . "state" "running"))}}true{{end}}{{end}}{{end}}'
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.metadata.name}}", "web-1"),
        ("{{.metadata.missing}}", "<no value>"),
        ("{{.spec.none}}", "<no value>"),
        ("{{.metadata.labels}}", "map[app:web tier:front]"),
        ("{{.spec.replicas}} {{.spec.big}} {{.spec.half}} {{.spec.on}}", "3 1e+06 0.5 true"),
        ("{{range .items}}{{.metadata.name}} {{end}}", "a b "),
        ('{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\\n"}}{{end}}{{end}}', "a\n"),
        (RUNNING, "true"),
        ("{{range $i, $e := .items}}{{$i}}={{$e.metadata.name}};{{end}}", "0=a;1=b;"),
        ("{{range $k, $v := .metadata.labels}}{{$k}}={{$v}},{{end}}", "app=web,tier=front,"),
        ("{{range .none}}x{{else}}empty{{end}}", "empty"),
        ("{{with .metadata.labels}}{{.app}} of {{$.metadata.name}}{{end}}", "web of web-1"),
        ("{{if .no}}a{{else if .items}}b{{else}}c{{end}}", "b"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
        ('{{index .metadata.labels "app"}} {{index .items 1 "metadata" "name"}}', "web b"),
        ("{{(index .items 0).metadata.name}}", "a"),
        ("{{.data.key | base64decode}}", "hello"),
        ('{{.metadata.name | printf "%-8s|%q" "x"}}', 'x       |"web-1"'),
        ('{{printf "%d %05.1f %t" 7 2.5 true}}', "7 002.5 true"),
        ("{{len .items}} {{len .metadata.name}}", "2 5"),
        ("a {{- 1 -}} b", "a1b"),
        ("{{/* a comment */}}x{{- /* another */ -}} y", "xy"),
        ('{{define "t"}}<{{.}}>{{end}}{{template "t" .metadata.name}}', "<web-1>"),
        ("{{range .items}}{{if .metadata.deletionTimestamp}}{{break}}{{end}}{{.metadata.name}}{{end}}", "a"),
        ("{{or .no .metadata.name}} {{and .metadata.name .spec.on}}", "web-1 true"),
        ("{{lt 1 2}} {{ge 2 2}} {{ne 1 1}} {{eq 3 1 3}}", "true true false true"),
        ("{{slice .metadata.name 0 3}} {{html .metadata.name}} {{print 1 2 \"x\" 3}}", "web web-1 1 2x3"),
        ("{{`raw \\n`}}", "raw \\n"),
        ("{{'a'}}", "97"),
    ],
)  # fmt: skip
def test_what_a_template_writes(template: str, text: str) -> None:
    assert render(template, POD) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.metadata", "unclosed action"),
        ("{{if .x}}a", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{nosuch .x}}", 'function "nosuch" not defined'),
        ("{{.metadata.name.first}}", "can't evaluate field first"),
        ("{{.metadata.missing.deep}}", "nil pointer evaluating interface {}.deep"),
        ("{{$y}}", "undefined variable"),
        ("{{break}}", "outside {{range}}"),
        ("{{index .items 9}}", "index out of range"),
        ("{{template `x`}}", 'template "x" not defined'),
        ('{{define "t"}}{{template "t"}}{{end}}{{template "t"}}', "maximum template depth"),
        ("{{range 2000000}}x{{end}}", "too many"),
        ("{{.x | }}", "missing value for command"),
        ("{{eq 1}}", "missing argument"),
        ("{{len}}", "wrong number"),
        ("{{1 2}}", "non-function"),
    ],
)
def test_what_is_no_template_says_why(template: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said.replace("(", r"\(").replace("{", r"\{")):
        render(template, POD)
