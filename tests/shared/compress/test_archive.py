from __future__ import annotations

import contextlib
import io
import os
import tarfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compress.archive import CARD, LIMITS, MANIFEST, MODEL, SIGNATURE, TOKENIZER, pack, read_files, unpack
from shared.errors import ArtifactError, MissingFileError

FILES = {MODEL: b"graph" * 50, MANIFEST: b"{}", SIGNATURE: b"s" * 64, CARD: "card: ε".encode()}
PACKED = pack(FILES)


def write(folder, files=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def packed_by_hand(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry, content in members:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


def test_folder_and_archive_hold_the_same(tmp_path):
    assert read_files(write(tmp_path / "artifact")) == FILES
    (tmp_path / "artifact.tar.zst").write_bytes(PACKED)
    assert read_files(tmp_path / "artifact.tar.zst") == FILES


def test_packing_is_deterministic_whatever_the_order():
    assert pack(dict(reversed(FILES.items()))) == PACKED


def test_nothing_there_says_so(tmp_path):
    with pytest.raises(MissingFileError, match="no artifact at"):
        read_files(tmp_path / "nothing")


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_needed(tmp_path, name):
    folder = write(tmp_path / "a", {other: content for other, content in FILES.items() if other != name})
    with pytest.raises(ArtifactError, match=f"no {name}"):
        read_files(folder)


def test_a_file_too_many_is_refused(tmp_path):
    write(tmp_path / "a", FILES | {"run.sh": b"#!"})
    with pytest.raises(ArtifactError, match="does not belong"):
        read_files(tmp_path / "a")


def test_folders_and_links_are_refused(tmp_path):
    folder = write(tmp_path / "a")
    (folder / MODEL).unlink()
    (tmp_path / "elsewhere").write_bytes(FILES[MODEL])
    (folder / MODEL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="not a plain file"):
        read_files(folder)
    (folder / MODEL).unlink()
    (folder / MODEL).mkdir()
    with pytest.raises(ArtifactError, match="not a plain file"):
        read_files(folder)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    folder = write(tmp_path / "a")
    (folder / CARD).unlink()
    os.mkfifo(folder / CARD)
    with pytest.raises(ArtifactError, match="not a plain file"):
        read_files(folder)


def test_an_oversized_file_is_refused(tmp_path):
    write(tmp_path / "a", FILES | {SIGNATURE: b"s" * 65})
    with pytest.raises(ArtifactError, match="65 bytes, more than the 64"):
        read_files(tmp_path / "a")


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/model.onnx", "./model.onnx", "sub/model.onnx", "MODEL.ONNX", "model.onnx/"])
def test_names_with_paths_are_refused(name):
    with pytest.raises(ArtifactError):
        unpack(packed_by_hand((tarfile.TarInfo(name), b"x")))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_not_plain_files_are_refused(kind):
    entry = tarfile.TarInfo(MODEL)
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(ArtifactError, match="not as a plain file"):
        unpack(packed_by_hand((entry, b"")))


def test_a_name_twice_is_refused():
    entries = [(tarfile.TarInfo(name), content) for name, content in sorted(FILES.items())]
    with pytest.raises(ArtifactError, match="twice"):
        unpack(packed_by_hand(*entries, (tarfile.TarInfo(MODEL), b"other")))


def test_owners_and_times_have_no_place():
    entries = [(tarfile.TarInfo(name), content) for name, content in sorted(FILES.items())]
    entries[0][0].mtime = 1
    with pytest.raises(ArtifactError, match="not packed as"):
        unpack(packed_by_hand(*entries))


def test_bytes_after_the_end_are_refused():
    for tail in (b"\x00", PACKED):
        with pytest.raises(ArtifactError):
            unpack(PACKED + tail)


def test_a_small_archive_that_claims_to_be_huge_is_refused():
    bomb = zstandard.ZstdCompressor().compress(bytes(2**24))
    assert len(bomb) < 2**12
    with pytest.raises(ArtifactError, match="claims too much"):
        unpack(bomb)


def test_no_archive_at_all_is_refused():
    for content in (b"", b"PK\x03\x04", PACKED[:-5], PACKED[:10]):
        with pytest.raises(ArtifactError):
            unpack(content)


@given(position=st.integers(0, len(PACKED) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_refused_or_changes_nothing(position):
    damaged = bytearray(PACKED)
    damaged[position // 8] ^= 1 << position % 8
    with contextlib.suppress(ArtifactError):
        assert unpack(bytes(damaged)) == FILES


def test_limits_name_the_four_files_and_the_tokeniser_of_texts():
    assert set(LIMITS) == {*FILES, TOKENIZER}
