"""Transcripts: subtitles as people and players write them, plain text, sidecars, time ranges."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricord.errors import DataError
from tricord.words import transcripts
from tricord.words.transcripts import Segment, Transcript, of_segments, read, sidecar, within

SRT = """1
00:00:01,000 --> 00:00:02,500
I was <i>so</i>
happy

2
00:01:00,000 --> 00:01:01,000 X1:0 X2:9
{\\an8}and <font color="red">angry</font>
"""
VTT = """WEBVTT - a title
Kind: captions
Language: en

STYLE
::cue(v) { color: red }

NOTE the next one
is not said

intro
00:01.000 --> 00:02.500 align:start position:0%
<v.loud Ann>I was <b>so</b>
<c.yellow>happy</c> &amp; sad

00:01:00.000 --> 00:01:01.000
and angry
"""
BOTH = (Segment(1.0, 2.5, "I was so happy"), Segment(60.0, 61.0, "and angry"))


def written(folder: Path, content: str | bytes, name: str = "clip.srt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_srt_file(tmp_path: Path) -> None:
    assert read(written(tmp_path, SRT)) == Transcript("I was so happy and angry", BOTH)


def test_a_vtt_file(tmp_path: Path) -> None:
    found = read(written(tmp_path, VTT, "clip.vtt"))
    assert [s.text for s in found.segments] == ["I was so happy & sad", "and angry"]
    assert [(s.start, s.end) for s in found.segments] == [(s.start, s.end) for s in BOTH]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace("\n", "\r\n"),
        lambda s: s.replace("\n", "\r"),
        lambda s: "\ufeff" + s,
        lambda s: s.replace("1\n00", "00").replace("2\n00", "00"),  # no numbers
        lambda s: s.replace("\n\n", "\n"),  # no blank lines
        lambda s: s.replace("so</i>\n", "so</i>\n\n"),  # one too many
        lambda s: s.replace(",", "."),
        lambda s: s.replace(" --> ", "-->"),
        lambda s: s.replace("00:00:01,000", "0:0:1"),
        lambda s: s.rstrip("\n"),
        lambda s: "WEBVTT\n\n" + s,  # under the wrong suffix
    ],
)
def test_what_players_forgive(tmp_path: Path, change: object) -> None:
    assert callable(change)
    assert read(written(tmp_path, change(SRT))).segments == BOTH


@pytest.mark.parametrize("name", ["a.srt", "a.vtt", "a.txt"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_says_nothing(tmp_path: Path, name: str, content: str) -> None:
    assert read(written(tmp_path, content, name)) == Transcript("")


def test_without_blank_lines_text_is_no_name(tmp_path: Path) -> None:
    content = "WEBVTT\n00:00.0 --> 00:01.0\nhello\n00:01.0 --> 00:02.0\nthere\n"
    assert read(written(tmp_path, content, "clip.vtt")).text == "hello there"


def test_cues_in_any_order_overlapping_and_empty(tmp_path: Path) -> None:
    content = (
        "00:05,0 --> 00:06,0\nlast\n\n00:00,5 --> 00:04,0\nfirst\n\n"
        "00:01,0 --> 00:02,0\nmeanwhile\n\n00:03,0 --> 00:03,0\n<i></i>\n"
    )
    found = read(written(tmp_path, content))
    assert found.text == "first meanwhile last"
    assert found.segments[1] == Segment(1.0, 2.0, "meanwhile")


def test_rolling_captions_are_read_once(tmp_path: Path) -> None:
    """As video sites write what they recognised: each cue repeats the line above the new one."""
    content = (
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nit<00:00.500><c> was</c>\n\n"
        "00:02.000 --> 00:02.010\nit was\n \n\n"
        "00:02.010 --> 00:04.000\nit was\nno<00:03.000><c> no</c>\n\n"
        "00:04.000 --> 00:05.000\nno no\nno<00:04.500><c> good</c>\n"
    )
    found = read(written(tmp_path, content, "clip.vtt"))
    assert found.text == "it was no no no good"
    assert [s.start for s in found.segments] == [0.0, 2.01, 4.0]


def test_what_is_said_twice_is_kept(tmp_path: Path) -> None:
    content = "00:00,0 --> 00:01,0\nNo\n\n00:01,0 --> 00:02,0\nNo\nNo\n"
    assert read(written(tmp_path, content)).text == "No No No"


@pytest.mark.parametrize("text", ["I <3 you > me", "a < b", "{sic}", "<3", "AT&T &c"])
def test_what_only_looks_like_a_tag_is_kept(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path, f"00:00,0 --> 00:01,0\n{text}\n")).text == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("00:00:0x --> 00:00:02\nhi\n", r"clip\.srt: line 1: '00:00:0x --> 00:00:02' found, exp"),
        ("00:00,0 --> 00:01,0\nhi\n\n--> bye\n", "line 4: '--> bye' found, expected"),
        ("00:02,0 --> 00:01,5\nhi\n", "line 1: the cue ends at 1.5 s, before it begins at 2 s"),
        ("hello\nthere\n", "line 1: 'hello' found before any time"),
        ("\n1\nhello\n00:00,0 --> 00:01,0\nhi\n", "line 2: '1' found before any time"),
        ("00:00,0 --> 00:01,0\na\n\nb\0", "line 4: a NUL character found"),
        ("WEBVTT\n\n" + "x" * 99 + "\n", r"line 3: 'x{40}\.\.\.' found before any time"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(written(tmp_path, content))
    assert "clip.srt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("我很高兴", "gb18030", "GB18030"),
        ("我很高兴, OK?", "gbk", "GB18030"),
        ("le café était fermé", "cp1252", "Western European"),
        ("Noël", "latin-1", "Western European"),  # ë and l would be one Chinese character
        ("我很高兴", "utf-8", None),
        ("café", "utf-8-sig", None),
        ("我很高兴 café", "utf-16", None),
    ],
)
@pytest.mark.parametrize("form", ["{}", "1\n00:00:00,000 --> 00:00:01,000\n{}\n"])
def test_encodings(tmp_path: Path, text: str, encoding: str, said: str | None, form: str) -> None:
    name = "clip.txt" if form == "{}" else "clip.srt"
    found = read(written(tmp_path, form.format(text).encode(encoding), name))
    assert found.text == text
    assert len(found.notices) == (said is not None)
    assert not said or f"{name}: no UTF-8: read as {said}" in found.notices[0]


def test_plain_text_is_one_line_without_times(tmp_path: Path) -> None:
    found = read(written(tmp_path, " I was\r\n\thappy \n", "clip.TXT"))
    assert found == Transcript("I was happy")


def test_what_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"clip\.doc: suffix '\.doc' found, expected \.srt"):
        read(written(tmp_path, "hi", "clip.doc"))
    (tmp_path / "folder.srt").mkdir()
    for name in ("none.srt", "none.txt", "folder.srt"):
        with pytest.raises(DataError, match=f"{name}: not found, or no file"):
            read(tmp_path / name)
    monkeypatch.setattr(transcripts, "MOST_BYTES", 9)
    assert read(written(tmp_path, "x" * 9, "clip.txt")).text == "x" * 9
    with pytest.raises(DataError, match="more than 9 bytes"):
        read(written(tmp_path, "x" * 10, "clip.txt"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["talk.1.txt"], "talk.1.txt"),
        (["talk.1.txt", "talk.1.vtt"], "talk.1.vtt"),
        (["talk.1.txt", "talk.1.VTT", "talk.1.SRT"], "talk.1.SRT"),
        (["talk.1.Txt"], "talk.1.Txt"),
        (["talk.txt", "talk.1.mp4.txt", "talk.1.doc"], None),
        ([], None),
    ],
)
def test_sidecar(tmp_path: Path, files: list[str], expected: str | None) -> None:
    for name in files:
        written(tmp_path, "", name)
    (tmp_path / "talk.1.Srt").mkdir()
    assert sidecar(tmp_path / "talk.1.mp4") == (None if expected is None else tmp_path / expected)


# Times in milliseconds; text without what the formats give a meaning.
PLAIN = st.text(
    st.characters(
        categories=("L", "M", "N", "P", "S", "Zs"), exclude_characters="<>&{}", codec="utf-8"
    ),
    min_size=1,
    max_size=20,
).filter(lambda t: t == " ".join(t.split()) and not t.isdigit())
CUES = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**4), PLAIN), max_size=8)


def clock(milliseconds: int, point: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{point}{fraction:03}"


@given(CUES, st.sampled_from(["srt", "vtt"]), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    cues: list[tuple[int, int, str]],
    kind: str,
    line_end: str,
) -> None:
    point = "," if kind == "srt" else "."
    blocks = ["WEBVTT"] if kind == "vtt" else []
    blocks += [
        f"{n}\n{clock(start, point)} --> {clock(start + long, point)}\n{text}"
        for n, (start, long, text) in enumerate(cues, start=1)
    ]
    content = "\n\n".join(blocks).replace("\n", line_end)
    path = written(tmp_path_factory.mktemp("subtitles"), content, f"clip.{kind}")
    expected = [Segment(start / 1000, (start + n) / 1000, text) for start, n, text in cues]
    assert read(path) == of_segments(expected)
    assert len(read(path).segments) == len(cues)


PIECES = [b"WEBVTT", b"NOTE", b"1", b"hi", b"<v A>", b"<0:1.5>", b"&lt;", b"-->", b"\xef\xbb\xbf"]
PIECES += [b"\n", b"\n\n", b"\r\n", b" ", b"00:01.0 --> 00:02.0", b"00:02,5 --> 00:03,5", b"\xe9"]
BYTES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=20).map(b"".join)


@given(BYTES, st.sampled_from(["a.srt", "a.vtt", "a.txt"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = written(tmp_path_factory.mktemp("bytes"), content, name)
    refused = ""
    try:
        said = read(path).text
    except DataError as error:
        said, refused = "", str(error)
    assert not refused or name in refused
    assert len((said + refused).splitlines()) <= 1


HALF = of_segments([Segment(0.0, 4.0, "one two, three four!"), Segment(4.0, 5.0, "我不好")])


@pytest.mark.parametrize(
    ("start", "end", "text", "times"),
    [
        (0.0, 5.0, "one two, three four! 我不好", [(0.0, 4.0), (4.0, 5.0)]),
        (0.0, None, "one two, three four! 我不好", [(0.0, 4.0), (4.0, 5.0)]),
        (0.0, 4.0, "one two, three four!", [(0.0, 4.0)]),
        (1.0, 3.0, "two, three", [(1.0, 3.0)]),
        (1.5, 2.5, "two,", [(1.5, 2.5)]),  # begins in the middle of it, ends in that of the next
        (2.6, 4.5, "four! 我", [(2.6, 4.0), (4.0, 4.5)]),
        (4.6, 9.0, "好", [(4.6, 5.0)]),
        (2.0, 2.0, "", []),
        (9.0, 10.0, "", []),
    ],
)
def test_words_of_a_time_range(
    start: float, end: float | None, text: str, times: list[tuple[float, float]]
) -> None:
    found = within(HALF, start, end)
    assert found.text == text
    assert [(s.start, s.end) for s in found.segments] == times


@given(CUES, st.lists(st.integers(0, 11 * 10**6), max_size=4))
def test_ranges_that_touch_share_no_word_and_lose_none(
    cues: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    whole = of_segments([Segment(s / 1000, (s + n) / 1000, text) for s, n, text in cues])
    edges = [0.0, *sorted(cut / 1000 for cut in cuts)]
    ranges = zip(edges, [*edges[1:], None], strict=True)
    parts = [within(whole, start, end).text for start, end in ranges]
    together = sorted("".join(parts).replace(" ", ""))
    assert together == sorted("".join(whole.text.split()))


def test_words_without_times_cannot_be_cut() -> None:
    plain = Transcript("hello")
    assert within(plain, 0.0) == plain
    for start, end in ((0.0, 1.0), (1.0, None)):
        with pytest.raises(DataError, match="words without times"):
            within(plain, start, end)
    assert within(Transcript(""), 1.0, 2.0) == Transcript("")
