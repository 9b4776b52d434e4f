"""The file that is the chain."""

from pathlib import Path

import pytest

from sandbox.solana.chain_log import ChainLog, Landing, Record, RentChange

RECORDS: list[Record] = [RentChange(5_080), Landing(7, b"first"), Landing(8, b"second")]


def written(folder: Path) -> bytes:
    with ChainLog(folder) as log:
        assert list(log.records()) == []
        for record in RECORDS:
            log.append(record)
    return (folder / "chain.log").read_bytes()


def read(folder: Path) -> list[object]:
    with ChainLog(folder) as log:
        return list(log.records())


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written(tmp_path)
    assert read(tmp_path) == RECORDS


def test_a_record_cut_short_anywhere_is_dropped_and_written_over(tmp_path: Path) -> None:
    whole = written(tmp_path)
    path = tmp_path / "chain.log"
    path.write_bytes(whole[:-1])
    assert read(tmp_path) == RECORDS[:2]
    upto = path.stat().st_size
    for size in range(upto, len(whole)):
        path.write_bytes(whole[:size])
        with ChainLog(tmp_path) as log:
            assert list(log.records()) == RECORDS[:2]
            log.append(RECORDS[2])
        assert path.read_bytes() == whole


def test_zeros_behind_the_last_record_are_cut_off(tmp_path: Path) -> None:
    whole = written(tmp_path)
    (tmp_path / "chain.log").write_bytes(whole + bytes(40))
    assert read(tmp_path) == RECORDS
    assert (tmp_path / "chain.log").read_bytes() == whole


def test_damage_before_the_last_record_is_refused(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path))
    whole[12] ^= 1
    (tmp_path / "chain.log").write_bytes(whole)
    with pytest.raises(ValueError, match="is damaged at byte"):
        read(tmp_path)


def test_a_chain_has_one_writer(tmp_path: Path) -> None:
    with ChainLog(tmp_path), pytest.raises(OSError, match="already running"):
        ChainLog(tmp_path)


def test_the_head_is_kept_in_place(tmp_path: Path) -> None:
    with ChainLog(tmp_path) as log:
        assert log.head_ms() == 0
        log.keep_head(5)
        log.keep_head(1_790_000_000_000)
    with ChainLog(tmp_path) as log:
        assert log.head_ms() == 1_790_000_000_000
    assert (tmp_path / "head").stat().st_size == 8
