"""What holds for every service of docker-compose.yml, whoever adds the next one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "docker/coordinator.yml", "docker/institution.yml")
ONE_SHOT = "provision"
OUTSIDE = "federation"
"""The network on which institutions reach the coordinator."""
ON_THIS_MACHINE = "127.0.0.1:"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


SERVICES = {f"{name}:{service}": found for name in FILES for service, found in read(name)["services"].items()}
DEMONSTRATION = read("docker-compose.yml")
every = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
lasting = pytest.mark.parametrize(
    "service", [found for key, found in SERVICES.items() if ONE_SHOT not in key], ids=[key for key in SERVICES if ONE_SHOT not in key]
)


@every
def test_nothing_can_be_written_but_volumes_and_no_privilege_is_kept(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service.get("network_mode") != "host"
    assert not any("docker.sock" in str(volume) for volume in service["volumes"])


@every
def test_everything_is_limited(service: dict[str, Any]) -> None:
    assert service["cpus"] == "${CPUS:-1.0}"  # more than a small machine has would be refused there
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1024
    assert service["logging"]["options"]["max-size"]
    assert service["init"] is True


@lasting
def test_services_are_nobody_come_back_and_say_how_they_are(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*:\d+", str(service["user"]))
    assert "cap_add" not in service
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["healthcheck"]["start_period"]


def test_the_one_shot_service_has_no_network_and_two_capabilities() -> None:
    service = DEMONSTRATION["services"][ONE_SHOT]
    assert service["network_mode"] == "none"
    assert set(service["cap_add"]) == {"CHOWN", "DAC_OVERRIDE"}
    assert service["restart"] == "no"


def test_volumes_are_named_and_no_institution_sees_another_s() -> None:
    services, seen = DEMONSTRATION["services"], dict[str, set[str]]()
    for name, service in services.items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert volume.endswith(":ro"), volume
                assert (ROOT / source).exists()
            else:
                assert source in DEMONSTRATION["volumes"]
                seen.setdefault(source, set()).add(name)
    for source, users in seen.items():
        assert len([name for name in users if name.startswith("hospital-")]) <= 1, source
        if source.startswith("hospital-"):
            assert users == {source, ONE_SHOT}


def test_only_the_coordinator_s_one_port_is_open_to_other_machines() -> None:
    opened = {name: service["ports"] for name, service in DEMONSTRATION["services"].items() if "ports" in service}
    assert all(port.startswith(ON_THIS_MACHINE) for name, ports in opened.items() if name != "coordinator" for port in ports)
    assert len(opened["coordinator"]) == 1
    assert not any(name.startswith("hospital-") for name in opened)


def test_metrics_are_on_networks_that_one_service_shares_with_prometheus() -> None:
    services, networks = DEMONSTRATION["services"], DEMONSTRATION["networks"]
    for network, settings in networks.items():
        users = {name for name, service in services.items() if network in service.get("networks", ())}
        if network.startswith("metrics"):
            assert settings == {"internal": True}
            assert len(users) == 2
            assert "prometheus" in users
    for name in (key for key in services if key == "coordinator" or key.startswith("hospital-")):
        (metrics,) = [network for network in services[name]["networks"] if network != OUTSIDE]
        assert services[name]["networks"][metrics] == {"aliases": [f"metrics.{name}"]}
        assert services[name]["hostname"] == name


def test_observers_are_there_only_when_asked_for() -> None:
    profiles = {name: service.get("profiles") for name, service in DEMONSTRATION["services"].items()}
    assert {name for name, found in profiles.items() if found == ["observe"]} == {"prometheus", "grafana"}
    assert {name for name, found in profiles.items() if found is None} == set(profiles) - {"prometheus", "grafana"}


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_written_into_a_file_or_an_environment(name: str) -> None:
    for service in read(name)["services"].values():
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASS|SECRET|TOKEN|KEY", key) or str(value).startswith("/run/secrets/"), key
