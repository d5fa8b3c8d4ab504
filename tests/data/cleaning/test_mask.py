"""What is masked and what is left: cases written by hand, of which nearly all must come out right."""

from __future__ import annotations

import pickle
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.mask import KINDS, Kind, Mask, mask
from sensorium.data.cleaning.numbers import is_card, is_iban, is_resident_id
from sensorium.data.stages import Mapper, documents
from sensorium.errors import InputError

FOUND: dict[Kind, list[str]] = {
    "email": [
        "Write to «jane.doe+news@mail.example.co.uk».",
        "邮箱：«zhang_san@qq.com»，谢谢",
        "发到«li@163.com»或«wang@example.cn»。",
        "<«a.b-c@x-y.org»>",
        "mailto:«bob@example.com»",
        "E-mail:«HR@EXAMPLE.COM».",
        "contact «o'neil@example.com»",  # the apostrophe splits it: what stands after it is masked
        "«user%dept@example.org», please",
        "«a@x.com»/«bob@y.org»",
        "«john@example.com»-John",
        "_«john@x.com»_",
        "-«john@x.com»",
        "Email...«john@x.com»",
        "«old..name.@docomo.example.jp»",
    ],
    "url": [
        "See «https://example.com/a_(b)?q=1&r=2#top».",
        "(«http://example.org/x»)",
        "官网«www.example.com.cn»，欢迎",
        "请访问«http://example.cn/a»。",
        "«ftp://ftp.example.org/pub/file.tar.gz»",
        "[link](«https://example.com/page»)",
        "«HTTPS://EXAMPLE.COM»!",
        '"«https://example.com/?a=b,c»",',
    ],
    "phone": [
        "Call «+1 415-555-2671» now",
        "«(415) 555-2671»",
        "Phone: «415.555.2671».",
        "«+44 20 7946 0958»",
        "ring «020 7946 0958»",
        "«+49 30 901820»",
        "Tél. «01 42 68 53 00»",
        "«+33 1 42 68 53 00»",
        "手机«13812345678»，微信同号",
        "电话：«010-65529988»转3",
        "电话:«0571-88888888»",
        "«(021)62345678»",
        "（«0755-26543210»）",
        "«+86 138 1234 5678»",
        "«+86-10-65529988»",
        "«138-1234-5678»",
        "客服热线«400-810-8888»",
        "热线：«95588123»",
        "fax: «555 0199 22»",
        "Telefon «030/1234567»",
        "東京 «03-1234-5678»",
        "whatsapp «+5511987654321»",
        "«800-555-2368»",
        "微信:«13812345678»",
        "Mob:«+44 7700 900123»",
        "Contact:«(212) 555-0187»",
        "Tel:«13812345678»/«13912345678»",
        "Tel: «010-65529988»/«13912345678»",
        "微信/«13812345678»",
    ],
    "id": ["身份证号«11010519491231002X»。", "身份证：«440524188001010014»", "ID «11010519491231002x»,"],
    "card": [
        "Card «4111 1111 1111 1111», exp. 12/27",
        "«5555555555554444»",
        "«3782 822463 10005»",
        "«6011-1111-1111-1117»",
        "银行卡号«6200000000000005»",
        "«3530111333300000»",
    ],
    "iban": [
        "IBAN «DE89 3704 0044 0532 0130 00»",
        "«GB82WEST12345698765432»",
        "«FR14 2004 1010 0505 0001 3M02 606», merci",
        "«NO9386011117947»",
    ],
    "ssn": ["SSN «078-05-1120»", "his number («219-09-9999»)", "SSN:«078-05-1120»"],
    "ip": ["from «81.2.69.160»", "host «93.184.216.34»:8080", "«2606:4700:4700::1111»", "服务器«114.114.114.114»。"],
}
LEFT = [
    "On 2024-01-15 at 12:30:45, and from 1914-1918.",
    "版本 1.2.3.4 于 2021.03.04 发布",
    "version 10.0.19041.1 and v4.19.0.1",
    "ISBN 978-3-16-148410-0 or 0-306-40615-2, ISSN 2049-3630",
    "A table: 1 234 567 | 12.5 | 3,456,789.00 | 0.25",
    "Pi is 3.14159265358979323846, e is 2.718281828459045",
    "192.168.0.1 and 127.0.0.1 and 10.1.2.3 name no one",
    "std::vector<int> a::b, 12:30:45, ::1, fe80::1",
    "Order 4111111111111112 and item 1234567890123456",
    "身份证号110105194912310021没有通过校验",
    "DE89370400440532013001 is no IBAN; GB00WEST12345698765432 neither",
    "$1,234,567 and ¥12345678 and €1.234.567,89 and 100000000 dollars",
    "The 2010-2019 decade; pages 123-4567; room 12-345",
    "000-12-3456, 666-12-3456, 912-12-3456, 123-00-4567",
    "timestamp 1700000000, id 0123456789ab, sha 13812345678abcdef",
    "@username, a@b, user@localhost, 3 @ 4.50, foo@bar..com",
    "第12345678号，共1000000元，同比增长12.34%，2023年12月31日",
    "x = 13812345678.5, 0.13812345678, A13812345678",
    "RFC 2616, section 14.9.3; 802.11ac; 1e-10; 0x7ffe12345678",
    "股票代码600519，邮编100871，QQ群12345",
    "http and www are words; so is https:// alone",
    "scores 21-19, 15-21, 21-17; 4-4-2; 1-800",
    "coordinates 39.9042, 116.4074; -33.8688, 151.2093",
    "ratio 3:2, 16:9; Gen 1:1-2:3; 10/12/2023; 05.11.2022",
    "UUID 123e4567-e89b-12d3-a456-426614174000",
    "12.1.1.1. Different RAID Levels; enzyme EC 2.7.3.2; 999.1.1.1; 08.64.1.1",
    "tel 2020-2021 season, tel 2020-21, 电话 2020-01-15, fax 05.11.2022",
    "img/logo@2x.png and npm/vue@2.6.14-beta.js",
    "at 12:13812345678, 3/13812345678",
    "第 1-2 节和 2008-2010 年的 1000-2000 元",
]
CASES = [(kind, case) for kind, cases in FOUND.items() for case in cases]
_MARKED = re.compile("«.*?»")


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_what_stands_between_the_marks_is_masked_and_nothing_else(kind: Kind, case: str) -> None:
    text = case.replace("«", "").replace("»", "")
    expected = _MARKED.sub(f"<{kind.upper()}>", case)
    if "o'neil" in case:
        expected = "contact o'<EMAIL>"
    masked, counts = mask(text)
    assert masked == expected
    assert counts == {kind: len(_MARKED.findall(case))}


@pytest.mark.parametrize("text", LEFT)
def test_numbers_of_other_kinds_are_left(text: str) -> None:
    assert mask(text) == (text, {})


def test_precision_and_recall_over_all_cases() -> None:
    """The same cases in numbers, all in one text: neighbours take nothing from each other."""
    marked = "\n".join(case for _, case in CASES)
    text = "\n".join([marked.replace("«", "").replace("»", ""), *LEFT])
    masked, counts = mask(text)
    planted = {kind: sum(len(_MARKED.findall(case)) for case in cases) for kind, cases in FOUND.items()}
    assert counts == planted
    assert all(line in masked for line in LEFT)


def test_only_what_is_asked_for_is_masked_and_each_kind_is_counted() -> None:
    text = "a@b.org, 13812345678, 81.2.69.160"
    assert mask(text, ["phone"]) == ("a@b.org, <PHONE>, 81.2.69.160", {"phone": 1})
    batch = documents([text, "nothing", "x@y.com z@y.com"], ["1", "2", "3"])
    stage = Mask(("email", "phone"), placeholder="[{}]")
    assert isinstance(stage, Mapper)
    assert pickle.loads(pickle.dumps(stage)) == stage
    done = stage.map(batch)
    assert done.batch.column("text").to_pylist() == ["[EMAIL], [PHONE], 81.2.69.160", "nothing", "[EMAIL] [EMAIL]"]
    assert done.counts == {"e-mail addresses masked": 3, "phone numbers masked": 1}
    assert stage.map(documents(["nothing"], ["1"])).counts == {}
    with pytest.raises(InputError, match="did you mean 'email'"):
        Mask(("emial",))


@settings(max_examples=300)
@given(st.text(alphabet="0123456789-+.() @:/abwz中X", max_size=60))
def test_masking_twice_changes_nothing_more_and_loses_no_other_letter(text: str) -> None:
    masked, counts = mask(text)
    assert sum(counts.values()) == len(re.findall(f"<(?:{'|'.join(KINDS).upper()})>", masked))
    assert [c for c in masked if c == "中"] == [c for c in text if c == "中"]


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1 ",
        "1-",
        "a.",
        "a..",
        "a_",
        "a-",
        "/a",
        "a@",
        "a@b.",
        "0.",
        "+1 ",
        "(",
        "www.",
        "2001:",
        "电话",
        "http://",
    ],
)
def test_a_run_of_anything_takes_time_by_its_length(piece: str) -> None:
    start = time.perf_counter()
    mask(piece * 30_000)
    assert time.perf_counter() - start < 2


@settings(max_examples=200)
@given(st.integers(0, 10**15))
def test_checks_find_every_wrong_digit(number: int) -> None:
    card = f"4{number:014}"[:15]
    checked = [d for d in range(10) if is_card(f"{card}{d}")]
    assert len(checked) == 1
    iban = f"DE{{:02}}{number:018}"
    assert sum(is_iban(iban.format(check)) for check in range(2, 99)) == 1
    person = f"110105{1900 + number % 100}1231{number % 1000:03}"
    assert sum(is_resident_id(f"{person}{check}") for check in "0123456789X") == 1
