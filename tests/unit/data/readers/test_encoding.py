"""Which encoding bytes are in, by real words of the languages that are written in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import repeatable
from tricord.data.readers.encoding import GB18030, WESTERN, decoded


@pytest.mark.parametrize(
    "text",
    [
        "größer",  # ö and ß together are a Chinese character
        "Die Straße ist größer und schöner als früher",
        "v1;0001;Grüße aus München;fröhlich",
        "süß,Füße,Äpfel,Übel,Öl",
        "créée",
        "On l'a créée l'été dernier, où déjà ça m'énerve",
        "file;label;speaker\nZoé/1.mp4;fâché;Zoé\nJérôme/2.mp4;gêné;Jérôme\n",
        "mañana será otro día, ¿no? ¡Qué emoción!",
        "blåbærsyltetøj, Åse og Øyvind",
        "it\u2019s \u201cfine\u201d \u2013 really\u2026",
        "Noël",
    ],
)
def test_western_european(text: str) -> None:
    assert decoded(text.encode("cp1252")) == (text, WESTERN)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
@pytest.mark.parametrize(
    "text",
    [
        "我很高兴",
        "我是真的爱你, OK?",
        "video_id,clip_id,text,label\nv1,0001,我不想再见到你,-0.8\n",
        "卡拉OK真好",
        "我love你",
        "A股",
        "朱镕基",  # the second byte of the second one is a plain letter
        "說話開心的時候,妳覺得怎麼樣?",
        "“你好……”",
    ],
)
def test_chinese(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding)) == (text, GB18030)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_says_what_it_is_is_no_guess(encoding: str) -> None:
    assert decoded("größer 我很高兴".encode(encoding)) == ("größer 我很高兴", None)


@repeatable
@given(st.binary(max_size=40))
def test_any_bytes_are_text(data: bytes) -> None:
    text, _ = decoded(data)
    assert isinstance(text, str)
