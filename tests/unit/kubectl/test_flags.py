import pytest

from tiphys.kubectl.flags import Flag, UsageError, duration_s, parse

FLAGS = (
    Flag("namespace", "", short="n"),
    Flag("stdin", "", short="i", kind="bool"),
    Flag("tty", "", short="t", kind="bool"),
    Flag("labels", "", short="l", kind="list"),
    Flag("replicas", "", kind="int"),
    Flag("dry-run", "", default="none", bare="unchanged"),
    Flag("timeout", "", kind="duration"),
)


def test_reads_every_form_that_pflag_reads() -> None:
    parsed = parse(
        FLAGS, ["pod", "-it", "-nkube-system", "web", "--labels=a,b", "-l", "c", "--replicas", "3", "--", "sh", "-c"]
    )
    assert parsed.words == ["pod", "web"]
    assert parsed.after_dashes == ["sh", "-c"]
    assert (parsed["namespace"], parsed["stdin"], parsed["tty"]) == ("kube-system", True, True)
    assert parsed["labels"] == ["a", "b", "c"]
    assert parsed["replicas"] == 3


def test_a_flag_with_a_bare_meaning_does_not_eat_the_next_word() -> None:
    parsed = parse(FLAGS, ["--dry-run", "pod"])
    assert (parsed["dry-run"], parsed.words) == ("unchanged", ["pod"])
    assert parse(FLAGS, ["--dry-run=server"])["dry-run"] == "server"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["--namespace"], "flag needs an argument: --namespace"),
        (["--replicas=many"], 'invalid argument "many" for "--replicas" flag'),
        (["--timeout=5"], 'invalid argument "5" for "--timeout" flag'),
    ],
)
def test_says_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(FLAGS, arguments)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("1h30m", 5400.0), ("250ms", 0.25), ("-1s", -1.0)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds
