"""What a customer's message means: a labelled corpus in five languages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.domain.replies import Meaning, classify

STOP = """
STOP
stop
Stop.
 stop!!
"Stop"
ＳＴＯＰ
S.T.O.P.
stop stop stop
STOP please
stop thanks
please stop
StopAll
stop all
UNSUBSCRIBE
unsubscibe
CANCEL
End
quit
REVOKE
optout
opt-out
Please stop texting me
stop texting me!!
can you please stop messaging me
Stop sending me these messages
stop sending messages
Don't message me again
dont text me anymore
Do not contact me again.
never text me again
unsubscribe me from this
I want to unsubscribe
How do I opt out?
opt me out
Remove me from your list
take me off your list please
delete my number
no more texts please
I don't want any more messages from you
I revoke my consent
Hi, I moved house. Please stop texting me.
leave me alone
退訂
退订
取消訂閱
取消订阅
停止
停止发送短信
拒收
TD
請不要再發訊息給我
别再给我发短信
我不想再收到你們的簡訊
退訂，謝謝
стоп
СТОП!
отписаться
Отпишите меня
не пишите мне больше
больше не присылайте мне сообщения
прекратите присылать смс
уберите меня из списка рассылки
หยุด
หยุดครับ
ยกเลิก
หยุดส่งข้อความ
อย่าส่งข้อความมาอีก
ไม่ต้องการรับข้อความ
ยกเลิกการรับข่าวสาร
"""

NOT_STOP = """
I can't stop laughing
I'll stop by the store tomorrow
the bus stop
Don't stop
please don't unsubscribe me
where does the parcel stop
cancel my order
I want to cancel my order 4821
at the end of the month
this is the end
quit smoking with this one
Stop the story
stop being an old man
My sister won't stop calling
take me
when does the sale end?
Great service, thank you
不用寄了
停止營業了嗎
ยกเลิกคำสั่งซื้อ
ไม่ต้องส่ง
автобус на остановке
не отправляйте заказ
"""

YES = """
OK 4821
ok 4821
ok4821
OK: 4821
Ok, 4821 thanks
4821 ok
OK 48 21
ＯＫ ４８２１
yes 4821
YES
Yes.
y
yeah
Yep!
ok
OKAY
👍
👍🏽
✅
yes it was me
it was me
Yes that was me
that's me
I did
I made this purchase
confirmed
是
是的
對
对
是我本人
沒錯
да
Да!
ага
да, это я
это была я
подтверждаю
ใช่
ใช่ครับ
ใช่ค่ะ
ถูกต้อง
โอเค 4821
ตกลง
"""

NO = """
NO 4821
no 4821
no4821
no, 4821
N 4821
4821 NO
NO 4821 thanks
No
no.
NO!!!
n
nope
👎
❌
no that wasn't me
No, that wasn’t me
it was not me
not me
wasnt me
not my purchase
I did not make this purchase
I didn't authorize this transaction
I don't recognize this charge
I never made this payment
no i didnt
block my card
不
不是
不是我
否
没有
沒有
不是本人
我没买
不是 4821
нет
Нет!
неет
это не я
нет, это не я
я не совершал эту покупку
нет 4821
ไม่
ไม่ใช่
ไม่ใช่ค่ะ
ไม่ใช่ผม
ฉันไม่ได้ทำ
ไม่ใช่ 4821
"""

DOUBTFUL = """
4821
not ok
no ok?
ok?
ok no
yes no
yes and no
no yes
👍👎
no problem
ok thanks
no thanks
no idea
I don't know
is this ok?
yes but I don't recognise the shop
I did not say no
OK 4821 but it was not me
no 4821?
NO OK 4821
ok, who is this
not sure
是嗎
是不是
对不起
да нет
не знаю
ใช่ไหม
ไม่แน่ใจ
"""

TALK = """
what is this about
please call me back
hello
my card is in my pocket
你好
здравствуйте
สวัสดีครับ
"""


def rows(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("body", rows(STOP))
def test_an_opt_out_is_understood_however_it_is_put(body):
    assert classify(body).meaning is Meaning.STOP


@pytest.mark.parametrize("body", rows(STOP))
def test_an_opt_out_is_an_opt_out_inside_any_dialogue(body):
    assert classify(body, expects="confirm", open_codes=["4821"]).meaning is Meaning.STOP
    assert classify(body, expects="scale").meaning is Meaning.STOP


@pytest.mark.parametrize("body", rows(NOT_STOP))
def test_a_stop_word_in_passing_is_no_opt_out(body):
    assert classify(body).meaning is not Meaning.STOP


@pytest.mark.parametrize("body", rows(YES))
def test_a_yes_answers_the_one_open_case(body):
    reply = classify(body, expects="confirm", open_codes=["4821"])
    assert (reply.meaning, reply.code, reply.wrong_code) == (Meaning.YES, "4821", False)


@pytest.mark.parametrize("body", rows(NO))
def test_a_no_answers_the_one_open_case(body):
    reply = classify(body, expects="confirm", open_codes=["4821"])
    assert (reply.meaning, reply.code, reply.wrong_code) == (Meaning.NO, "4821", False)


@pytest.mark.parametrize("body", rows(DOUBTFUL))
def test_a_doubtful_text_goes_to_a_person(body):
    assert classify(body, expects="confirm", open_codes=["4821"]).meaning is Meaning.AMBIGUOUS


@pytest.mark.parametrize("body", rows(TALK))
def test_talk_is_no_answer(body):
    assert classify(body, expects="confirm", open_codes=["4821"]).meaning is Meaning.TEXT


@pytest.mark.parametrize("body", ["YES", "no", "ok", "👍", "да", "是", "ใช่", "5"])
def test_without_an_open_question_there_is_nothing_to_answer(body):
    assert classify(body).meaning is Meaning.TEXT


@pytest.mark.parametrize("body", ["OK 7755", "NO 7755", "7755", "no, 7755", "OK 4812"])
def test_the_code_of_another_case_never_answers_this_one(body):
    reply = classify(body, expects="confirm", open_codes=["4821"])
    assert (reply.meaning, reply.wrong_code) == (Meaning.AMBIGUOUS, True)
    assert reply.code == body[-4:]


def test_a_late_answer_to_a_closed_case_is_seen_and_answers_nothing():
    reply = classify("OK 4821")
    assert (reply.meaning, reply.code, reply.wrong_code) == (Meaning.AMBIGUOUS, "4821", True)


@pytest.mark.parametrize(
    "body", ["yes", "no", "ok", "👎", "not me", "OK 4821 7755", "NO 4821 9999"]
)
def test_with_several_open_cases_only_one_code_answers(body):
    codes = ["4821", "7755"]
    assert classify(body, expects="confirm", open_codes=codes).meaning is Meaning.AMBIGUOUS
    reply = classify("NO 7755", expects="confirm", open_codes=codes)
    assert (reply.meaning, reply.code) == (Meaning.NO, "7755")


def test_a_question_without_a_code_takes_a_bare_answer():
    assert classify("yes", expects="confirm").meaning is Meaning.YES
    assert classify("no 4821", expects="confirm").wrong_code


@pytest.mark.parametrize(
    ("body", "locale", "meaning"),
    [
        ("да", "ru", Meaning.YES),
        ("нет", "ru-RU", Meaning.NO),
        ("不是", "zh-Hant-TW", Meaning.NO),
        ("ไม่ใช่", "th", Meaning.NO),
        ("no", "th", Meaning.NO),
        ("да", "en", Meaning.AMBIGUOUS),
        ("не", "ru", Meaning.AMBIGUOUS),
        ("不是", "ru", Meaning.AMBIGUOUS),
        ("no", "xx", Meaning.NO),
    ],
)
def test_a_bare_word_counts_in_english_and_in_the_customers_language(body, locale, meaning):
    reply = classify(body, locale=locale, expects="confirm", open_codes=["4821"])
    assert reply.meaning is meaning


@pytest.mark.parametrize(
    ("body", "value", "comment"),
    [
        ("5", 5, ""),
        (" 1 ", 1, ""),
        ("5/5", 5, ""),
        ("1 out of 5", 1, ""),
        ("4 of 5", 4, ""),
        ("4 из 5", 4, ""),
        ("five stars", 5, ""),
        ("five", 5, ""),
        ("Three!", 3, ""),
        ("5 stars!", 5, ""),
        ("5stars", 5, ""),
        ("４", 4, ""),
        ("๔", 4, ""),
        ("5️⃣", 5, ""),
        ("⭐⭐⭐⭐", 4, ""),
        ("★★☆☆☆", 2, ""),
        ("I'd give it a 2", 2, ""),
        ("I would give it a 2", 2, ""),
        ("my rating: 3", 3, ""),
        ("4 - great service", 4, "great service"),
        ("5 👍", 5, ""),
        ("2, the queue was long", 2, "the queue was long"),
        ("5分", 5, ""),
        ("五分", 5, ""),
        ("4 星", 4, ""),
        ("пять", 5, ""),
        ("4 балла", 4, ""),
        ("ставлю 3", 3, ""),
        ("ห้า", 5, ""),
        ("5 ดาว", 5, ""),
        ("ให้ 4 คะแนน", 4, ""),
    ],
)
def test_a_score_is_understood(body, value, comment):
    reply = classify(body, expects="scale")
    assert (reply.meaning, reply.value, reply.comment) == (Meaning.SCORE, value, comment)


@pytest.mark.parametrize(
    "body",
    [
        "10", "0", "6", "-3", "4.5", "4,5", "2 5", "4-5", "4 or 5", "8/10", "not a 5", "5?", "100%",
        "3 hours of waiting", "I waited 3 minutes", "order 4 is missing", "the one I ordered was blue",
        "3 items missing", "1st time here", "2 of us came", "$5", "не 5", "3 часа ждал", "3小時",
        "it was weird at one point",
        "2 and a half",
        "99999999999999999999",
    ],
)  # fmt: skip
def test_a_number_that_is_no_clear_score_goes_to_a_person(body):
    assert classify(body, expects="scale").meaning is Meaning.AMBIGUOUS


@pytest.mark.parametrize("body", ["great", "no one helped me at all, sadly"])
def test_a_text_without_a_score_is_text_or_for_a_person(body):
    assert classify(body, expects="scale").meaning in (Meaning.TEXT, Meaning.AMBIGUOUS)


def test_the_scale_is_the_questions_own():
    assert classify("9", expects="scale", scale=(0, 10)).value == 9
    assert classify("9/10", expects="scale", scale=(0, 10)).value == 9
    assert classify("0", expects="scale", scale=(0, 10)).value == 0


def test_with_a_case_and_a_score_open_each_gets_its_own_answer():
    both = {"expects": "scale", "open_codes": ["4821"]}
    assert classify("4", **both).meaning is Meaning.SCORE
    assert classify("NO 4821", **both).meaning is Meaning.NO
    assert classify("not a 5", **both).meaning is Meaning.AMBIGUOUS
    assert classify("NO 7755", **both).wrong_code


def test_a_late_answer_to_a_closed_case_is_no_score_either():
    assert classify("OK 4821", expects="scale").wrong_code


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("HELP", "help"), ("info", "help"), ("help!", "help"), ("помощь", "help"), ("START", "start"),
        ("unstop", "start"), ("", "text"), ("   ", "text"), ("🎉", "text"), ("start my order", "text"),
    ],
)  # fmt: skip
def test_help_and_start_are_words_alone(body, meaning):
    assert classify(body).meaning == meaning


@given(st.text(), st.sampled_from([None, "confirm", "scale"]), st.sampled_from([(), ("4821",)]))
def test_any_text_gets_a_meaning(body, expects, codes):
    assert classify(body, expects=expects, open_codes=codes).meaning in Meaning


@given(st.sampled_from(rows(NO) + rows(DOUBTFUL)), st.sampled_from(["", " ", "!", "...", " 🙂"]))
def test_a_denial_never_reads_as_a_yes(body, ending):
    reply = classify(body + ending, expects="confirm", open_codes=["4821"])
    assert reply.meaning is not Meaning.YES


@pytest.mark.parametrize(
    "piece",
    ["no ", "ok", "i would ", "any more ", "ever ", "stop ", "please ", "5 ", "是", "no", "a "],
)
def test_a_long_text_is_read_quickly(piece):
    """No text may keep a worker busy: some patterns take exponential time on repetitions."""
    began = time.perf_counter()
    for ending in ("", "x", " texting me x"):
        for expects in ("confirm", "scale"):
            classify(piece * 600 + ending, expects=expects, open_codes=["4821"])
            classify("stop texting me " + piece * 300 + ending, expects=expects)
    assert time.perf_counter() - began < 5
