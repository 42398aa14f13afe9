from __future__ import annotations

import pytest

from fedstill.compressing.plan import check_folder, federation_of, found_student, known_teacher
from fedstill.compressing.steps import STEPS_FOLDER
from shared.errors import ConfigError, MissingFileError, RunError
from shared.models import save_model
from shared.task import ImageTask
from tests.support.networks import network


@pytest.fixture
def student(tmp_path):
    save_model(tmp_path / "student.safetensors", network())
    return tmp_path / "student.safetensors"


def test_a_file_or_its_folder_name_the_same_student(student):
    assert found_student(student) == found_student(student.parent) == student


def test_a_simulation_has_one_in_its_coordinators_run(tmp_path):
    home = tmp_path / "coordinator" / "runs" / "one"
    home.mkdir(parents=True)
    save_model(home / "student.safetensors", network())
    assert found_student(tmp_path) == home / "student.safetensors"
    other = tmp_path / "coordinator" / "runs" / "two"
    other.mkdir()
    save_model(other / "student.safetensors", network())
    with pytest.raises(RunError, match="holds 2 students"):
        found_student(tmp_path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(MissingFileError, match="there is no student at"):
        found_student(tmp_path)


def test_who_does_not_say_on_which_records_is_asked(student):
    with pytest.raises(ConfigError, match="give --data"):
        federation_of(None, student)


def test_records_of_another_kind_are_refused(tmp_path):
    task = ImageTask(family="image", labels=("a", "b"), size=8, channels=1)
    save_model(tmp_path / "student.safetensors", network(task))
    with pytest.raises(ConfigError, match="family 'image', the records are of family 'tabular'"):
        federation_of("heart", tmp_path / "student.safetensors")


def test_the_task_is_the_students_own(student, tmp_path):
    rows = ["age,kind,dose,side,y", *(f"{50 + row},{'abc'[row % 3]},2.0,left,{('no', 'yes')[row % 2]}" for row in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    found = federation_of(str(tmp_path / "rows.csv"), student)
    assert found.task == network().task
    assert known_teacher(student) is None


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path):
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(RunError, match="holds something already"):
        check_folder(tmp_path)


def test_a_folder_where_a_compression_was_stopped_may_be_taken_up(tmp_path):
    (tmp_path / "student.onnx").touch()
    with pytest.raises(RunError, match="holds something already"):
        check_folder(tmp_path)
    (tmp_path / STEPS_FOLDER).mkdir()
    check_folder(tmp_path)


def test_a_folder_that_was_only_locked_is_as_good_as_new(tmp_path):
    (tmp_path / "lock").touch()
    check_folder(tmp_path)
