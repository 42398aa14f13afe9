"""The commands by which an institution joins, approves, watches and fetches, over an open door; each says what to do next."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w

from fedstill.cli import main
from server.events import PhaseStarted
from server.site import PLAN_FILE, CoordinatorSite
from shared.files import write_atomic
from shared.signed import make_plan, sign_plan
from tests.support.opened import Opened, institution, make_coordinator, opened

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = make_coordinator(tmp_path_factory.mktemp("commands") / "coordinator")
    site = CoordinatorSite(folder)
    site.store.start_run("trial-1", site.config.canonical(), site.roster.digest)
    write_atomic(
        site.run_folder("trial-1") / PLAN_FILE, sign_plan(make_plan("trial-1", site.config, site.roster), site.identity).canonical()
    )
    write_atomic(site.run_folder("trial-1") / "artifact" / "manifest.json", b"{}")
    site.store.add_event("trial-1", 1.0, PhaseStarted(phase="train"))
    site.store.finish_run("trial-1", "artifact")
    site.store.close()
    with opened(folder) as made:
        yield made


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command; gives its code, stdout and stderr."""

    def run(*arguments: object, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def joined(coordinator: Opened, say: Say, folder: Path, name: str) -> Path:
    """The folder of an institution that has joined by the commands."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "joining.toml"
    config.write_text(tomli_w.dumps(institution(name, folder).model_dump(mode="json", exclude_none=True)))
    code, token, hint = say("coordinator", "invite", coordinator.folder, name, "--address", coordinator.connection.address)
    assert (code, len(token.splitlines())) == (0, 1)
    assert "client join" in hint
    code, out, _ = say("client", "join", "-", folder / name, "--config", config, given=token)
    assert code == 0, out
    assert f"{name} has joined" in out
    assert token.strip() not in out
    return folder / name


def test_join_compare_and_pin(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    first = joined(coordinator, say, tmp_path, "ash")
    joined(coordinator, say, tmp_path, "elm")
    code, out, _ = say("client", "roster", first, "--json")
    found = json.loads(out)
    assert (code, found["new"], found["pinned"]) == (0, ["elm"], False)
    code, _, err = say("client", "roster", first, "--accept", "00000000")
    assert (code, "another fingerprint" in err) == (40, True)
    code, _, err = say("client", "roster", first, "--accept", found["roster_digest"][:7])
    assert code == 40, "seven digits are too few to compare"
    spaced = " ".join((found["roster_digest"][:4], found["roster_digest"][4:8].upper()))
    code, out, _ = say("client", "roster", first, "--accept", spaced)
    assert (code, "; pinned" in out) == (0, True)
    code, out, _ = say("client", "roster", first, "--json")
    assert json.loads(out)["new"] == []
    code, out, _ = say("coordinator", "roster", coordinator.folder, "--json")
    shown = json.loads(out)
    assert {"ash", "elm"} <= shown["members"].keys()
    assert shown["roster_digest"] == found["roster_digest"]


def test_a_cut_token_and_a_used_one_are_said_without_repeating_them(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    config = tmp_path / "joining.toml"
    config.write_text(tomli_w.dumps(institution("fir", tmp_path).model_dump(mode="json", exclude_none=True)))
    _, token, _ = say("coordinator", "invite", coordinator.folder, "fir", "--address", coordinator.connection.address)
    code, _, err = say("client", "join", token[:60], tmp_path / "fir", "--config", config)
    assert (code, "copy it again" in err, token[:60] in err) == (40, True, False)
    assert say("client", "join", token.strip(), tmp_path / "fir", "--config", config)[0] == 0
    code, _, err = say("client", "join", token.strip(), tmp_path / "again", "--config", config)
    assert (code, "unknown, used, expired or not proven" in err, token.strip() in err) == (40, True, False)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [(["ASH"], 10, "NAME"), (["ash", "--expires", "soon"], 40, "24h"), (["ash", "--address", "nowhere"], 10, "--address")],
)
def test_a_wrong_invitation_is_said(coordinator: Opened, say: Say, arguments: list[str], code: int, word: str) -> None:
    found, _, err = say("coordinator", "invite", coordinator.folder, *arguments)
    assert (found, word in err) == (code, True)


def test_an_open_invitation_is_shown_and_the_address_is_the_certificate_s(coordinator: Opened, say: Say) -> None:
    _, out, _ = say("coordinator", "invite", coordinator.folder, "yew", "--json")
    assert json.loads(out)["address"] == "127.0.0.1:8443"
    _, out, _ = say("coordinator", "roster", coordinator.folder)
    assert "yew: invited until" in out


def test_revoke_says_who_is_left_and_the_revoked_is_refused(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    home = joined(coordinator, say, tmp_path, "oak")
    code, out, _ = say("coordinator", "revoke", coordinator.folder, "oak")
    assert (code, "oak is revoked" in out) == (0, True)
    code, _, err = say("client", "watch", home)
    assert (code, "not in force" in err) == (40, True)
    assert say("coordinator", "revoke", coordinator.folder, "oak")[0] == 0, "the same again goes on where it may have stopped"
    code, _, err = say("coordinator", "revoke", coordinator.folder, "nobody")
    assert (code, "no institution 'nobody'" in err) == (40, True)
    code, _, err = say("coordinator", "revoke", coordinator.folder, "../../roster")
    assert (code, "name" in err) == (10, True)


def test_an_open_invitation_is_withdrawn(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    say("coordinator", "invite", coordinator.folder, "fig")
    assert say("coordinator", "revoke", coordinator.folder, "fig")[0] == 0
    assert "fig" not in say("coordinator", "roster", coordinator.folder)[1]


@pytest.mark.parametrize("after", ["-1", str(2**63)])
def test_no_event_has_such_a_number(coordinator: Opened, say: Say, tmp_path: Path, after: str) -> None:
    code, _, err = say("client", "watch", tmp_path, "trial-1", "--after", after)
    assert code != 0
    assert "after" in err


def test_a_run_is_read_and_approved_or_not(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    home = joined(coordinator, say, tmp_path, "box")
    code, out, _ = say("client", "approve", home, "trial-1", given="n\n")
    assert code == 55
    assert "rounds = 2" in out
    assert not (home / "state" / "approved").exists()
    code, out, _ = say("client", "approve", home, "trial-1", given="y\n")
    assert (code, "trial-1 is approved" in out) == (0, True)
    assert len(list((home / "state" / "approved").iterdir())) == 1


def test_a_plan_that_came_by_hand_is_as_good_if_it_is_of_that_run(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    home = joined(coordinator, say, tmp_path, "may")
    plan = coordinator.folder / "runs" / "trial-1" / PLAN_FILE
    code, _, err = say("client", "approve", home, "trial-2", "--plan", plan, "--yes")
    assert (code, "of run 'trial-1'" in err) == (55, True)
    changed = tmp_path / "changed.json"
    changed.write_bytes(plan.read_bytes().replace(b'"rounds":2', b'"rounds":9'))
    assert say("client", "approve", home, "trial-1", "--plan", changed, "--yes")[0] == 40
    assert say("client", "approve", home, "trial-1", "--plan", plan, "--yes")[0] == 0


def test_runs_events_and_artifact_come_home(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    home = joined(coordinator, say, tmp_path, "nut")
    assert say("client", "watch", home)[1] == "trial-1 finished\n"
    lines = [json.loads(line) for line in say("client", "watch", home, "trial-1")[1].splitlines()]
    assert [line["event"]["phase"] for line in lines] == ["train"]
    code, out, _ = say("client", "artifact", home, "trial-1", "--out", tmp_path / "out", "--json")
    assert (code, json.loads(out)["files"]) == (0, ["manifest.json"])


def test_check_lists_all_and_its_code_says_whether_something_failed(coordinator: Opened, say: Say, tmp_path: Path) -> None:
    home = joined(coordinator, say, tmp_path, "bay")
    code, out, err = say("client", "check", home)
    assert code == 80
    assert "ok   TLS" in out
    assert "FAIL records" in out
    assert "records" in err
