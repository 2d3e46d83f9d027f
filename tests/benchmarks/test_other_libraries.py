"""The page of what is said to other libraries' users says what is said now."""

from benchmarks.other_libraries import FILES, LINES, PAGE, page, said_to_files, said_to_lines


def test_the_page_is_true():
    assert (len(LINES), len(FILES)) == (20, 10)
    again = "say it anew: python -m benchmarks.other_libraries --write"
    assert PAGE.read_text(encoding="utf-8") == page(), again


def test_each_is_told_something_that_leads_on():
    """No traceback, two lines, and what to write instead."""
    for _, line, said in (*said_to_lines(), *said_to_files()):
        problem, remedy = said.splitlines()
        assert "here " in remedy or "omit it" in remedy or "python -m agents.zoo" in remedy, line
        assert problem.startswith("milozero: Un") or "RL Zoo" in problem, line
