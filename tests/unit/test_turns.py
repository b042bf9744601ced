"""Turns at writing to SQLite: a campaign lets everybody else go first, but not for ever."""

import threading
import time

from signalpost.record.turns import Turns


def enter(turns, came):
    def run():
        with turns.taken(courteous=True):
            came.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_bulk_work_waits_while_another_process_waits_or_writes(tmp_path):
    here, there = Turns(str(tmp_path / "record")), Turns(str(tmp_path / "record"))
    came = threading.Event()
    with here.taken(courteous=False):
        thread = enter(there, came)
        assert not came.wait(0.1)
    assert came.wait(5)
    thread.join()


def test_bulk_work_also_lets_the_threads_of_its_own_process_go_first(tmp_path):
    turns, came = Turns(str(tmp_path / "record")), threading.Event()
    with turns.taken(courteous=False):
        thread = enter(turns, came)
        assert not came.wait(0.1)
    assert came.wait(5)
    thread.join()


def test_under_a_steady_stream_of_others_bulk_work_goes_after_a_while(tmp_path):
    here, there = Turns(str(tmp_path / "record")), Turns(str(tmp_path / "record"))
    began = time.monotonic()
    with here.taken(courteous=False):
        thread = enter(there, came := threading.Event())
        assert came.wait(5)
    thread.join()
    assert time.monotonic() - began < 5


def test_two_who_are_not_courteous_never_wait_for_each_others_file(tmp_path):
    here, there = Turns(str(tmp_path / "record")), Turns(str(tmp_path / "record"))
    with here.taken(courteous=False), there.taken(courteous=False):
        pass  # SQLite's own lock decides between them


def test_bulk_work_knows_for_a_while_that_it_is_in_company(tmp_path):
    here, there = Turns(str(tmp_path / "record")), Turns(str(tmp_path / "record"))
    enter(here, alone := threading.Event()).join()
    assert alone.is_set()
    assert not here.in_company
    with there.taken(courteous=False):
        enter(here, threading.Event()).join()
    assert here.in_company
