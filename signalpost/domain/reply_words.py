"""The words and phrases by which customers answer, as data, in five languages.

Read by ``domain.replies``, which brings both these words and the customer's text into the same plain
form: compatibility forms folded, lower case, no apostrophes, punctuation as spaces.
"""

# Twilio's own list (twilio.com/docs, advanced opt-out), common slips, and the same in our languages.
STOP = """
    stop|stopall|stop all|unsubscribe|cancel|end|quit|revoke|optout|opt out
    stopp|sotp|stpo|unsubcribe|unsuscribe|unsubscibe|unsub|arret|leave me alone|lose my number
    退訂|退订|取消訂閱|取消订阅|停止|停止發送|停止发送|拒收|td|我要退訂|我要退订|停
    стоп|отписаться|отписка|отпишите|отмена|хватит|стоп рассылка
    หยุด|ยกเลิก|เลิกรับ|ยกเลิกการรับ|หยุดส่ง|เลิกส่ง|ไม่รับ
"""
START = "start|unstop|старт|開始|开始|重新訂閱|重新订阅|เริ่ม"
HELP = "help|info|help me|помощь|справка|幫助|帮助|說明|ช่วยเหลือ|ช่วยด้วย"

POLITE = """
    please|pls|plz|kindly|thanks|thank you|thank u|thx|ty|cheers|hi|hello|hey|sir|madam|now
    пожалуйста|плиз|спасибо|здравствуйте|привет
"""
# Thai and Chinese write no spaces: these are cut off either end of the text.
ENDINGS = "ครับ|คับ|ค่ะ|คะ|จ้า|นะ|ขอบคุณ|謝謝|谢谢|麻煩|麻烦|請|请|啊|喔|哦|了"

_NOUN = r"(?:text|txt|message|msg|sms|e ?mail|mail|notification|alert|promo|promotion|spam)s?"
_NOUNS = rf"(?:{_NOUN}|marketing|advertising|ads|spamming|these|this|that|it)"
_DOING = r"(?:text|txt|messag|msg|sms|e ?mail|spamm?|contact|bother|pester|harass|annoy)e?in+g?"
_SEND = r"(?:send|sending|sendin)"
_ME = r"(?:me|us|my (?:phone|number|cell|mobile)|this (?:phone|number))"
_MORE = r"(?: (?:again|any ?more|ever|at all|please|now|immediately|thanks))*"
_LEAD = (
    r"(?:(?:please|pls|plz|kindly|ok|okay|and|so|just|also|yes|no|sorry|guys|you guys"
    r"|can you|could you|would you|will you|you need to|you must|i want you to"
    r"|id like you to|i would like you to|i said"
    r"|for the last time|how do i|how can i|how to|i want to|i wish to|i would like to|id like to"
    r"|i need to|want to|want you to) )*"
)
_MINE = r"(?:me|us|my (?:number|phone|name|e ?mail|details)|this number)"
_OFF_LIST = (
    r"(?:from|off)(?: of)? (?:(?:this|the|your|ur|all|any|contact|mailing|sms|text|call) )*"
    r"(?:list|lists|database|system|records?|contacts)"
)
_ZH_NOUN = r"(?:簡訊|短信|訊息|信息|消息|廣告|广告|郵件|邮件)"
_ZH_ME = r"(?:給我|给我|向我)?"
_TH_NOUN = r"(?:ข้อความ|ข่าวสาร|sms|โฆษณา)"
OPT_OUT = [
    rf"(?:stop|quit|cease) {_DOING}(?: (?:to )?{_ME})?{_MORE}",
    (
        rf"(?:stop|quit|cease) {_SEND}(?: {_ME})?(?: (?:any|all|the|these|those|your|ur|more|so many))*"
        rf"(?: {_NOUNS})?(?: to {_ME})?{_MORE}"
    ),
    rf"(?:stop|cancel|end) (?:(?:all|the|these|those|your|ur|my|any) )*{_NOUN}(?: to {_ME})?{_MORE}",
    (
        rf"(?:do not|dont|never) (?:ever )?"
        rf"(?:text|txt|message|msg|sms|e ?mail|contact|spam|bother) {_ME}{_MORE}"
    ),
    (
        rf"(?:do not|dont|never) (?:ever )?send {_ME} (?:(?:any|more|these|those|your|ur|such) )*"
        rf"(?:{_NOUN}|anything|stuff){_MORE}"
    ),
    (
        rf"(?:unsubscribe|unsub|unsubscibe|deregister|opt ?out|opt {_ME} out)"
        r"(?: (?:me|my number|this number|us))?"
        rf"(?: (?:from|of|off) (?:(?:this|these|that|the|your|ur|all|any|future|everything) ?)*"
        rf"(?:{_NOUNS}|lists?|mailing lists?|service)?)?{_MORE}"
    ),
    rf"(?:(?:remove|delete) {_MINE}(?: {_OFF_LIST})?|take {_MINE} {_OFF_LIST}){_MORE}",
    rf"no (?:more|further) {_NOUN}{_MORE}",
    (
        rf"i (?:do not|dont|no longer) (?:want|wish)(?: to (?:receive|get|have))?"
        rf"(?: (?:any|more|these|those|your|ur|anymore))* {_NOUN}(?: from (?:you|u|this number))?{_MORE}"
    ),
    r"(?:i )?(?:revoke|withdraw) (?:my )?(?:consent|permission)(?: to .{1,40})?",
    # Russian
    (
        r"(?:больше )?не (?:пишите|присылайте|беспокойте)(?: мне| меня)?"
        r"(?: больше| никогда| эти| ваши| сообщения| смс| рекламу| письма| спам)*"
    ),
    (
        r"(?:больше )?не (?:отправляйте|шлите)(?: мне)?"
        r"(?: больше| эти| ваши)*(?: сообщения| смс| рекламу| письма| спам)"
    ),
    (
        r"(?:прекратите|перестаньте|хватит|прекращайте) (?:мне )?(?:присылать|писать|слать|отправлять"
        r"|рассылку|спамить)(?: мне| эти| ваши| сообщения| смс| рекламу| письма| спам)*"
    ),
    (
        r"(?:уберите|удалите|исключите) (?:меня|мой номер) из (?:вашей |этой |вашего |этого )?"
        r"(?:рассылки|списка(?: рассылки)?|базы)"
    ),
    r"(?:я )?не хочу (?:больше )?получать(?: больше| эти| ваши| сообщения| смс| рекламу| письма)*",
    r"(?:отпишите|отписать) (?:меня|мой номер)(?: от .{1,30})?",
    r"(?:я )?(?:хочу|как|прошу) отписаться(?: от .{1,30})?",
    r"(?:отключите|отмените|отменить|отключить) (?:рассылку|смс|сообщения|уведомления)",
    # Chinese, Traditional and Simplified
    r"(?:我|我要|我想|想|要)?(?:取消訂閱|取消订阅|退訂|退订)(?:簡訊|短信|訊息|信息|通知|服務|服务)*",
    (
        rf"(?:請|请)?(?:不要|別|别|不准)(?:再{_ZH_ME}(?:發|发|傳|传)送?{_ZH_NOUN}*"
        rf"|{_ZH_ME}(?:發|发|傳|传)送?{_ZH_NOUN}+)(?:給我|给我|過來|过来)?"
    ),
    rf"我?不(?:想|要|希望)再?收到(?:你們的|你们的|這些|这些|任何)?{_ZH_NOUN}+",
    r"我?不(?:想|要|希望)再收到(?:你們的|你们的|這些|这些|任何)?",
    rf"停止{_ZH_ME}(?:發|发|傳|传)送?{_ZH_NOUN}*(?:給我|给我)?",
    r"(?:把我)?(?:從|从).{0,8}(?:名單|名单)(?:中|裡|里)?(?:移除|刪除|删除)",
    # Thai
    (
        rf"(?:กรุณา|ช่วย|โปรด)?(?:หยุดส่ง|เลิกส่ง|(?:อย่า|ไม่ต้อง)ส่ง(?={_TH_NOUN}|มาอีก|อีก))"
        rf"(?:{_TH_NOUN}|มา)*(?:ให้ฉัน|ให้ผม|หาฉัน|หาผม|ถึงฉัน|ถึงผม)?(?:อีก|แล้ว|เลย)*"
    ),
    rf"(?:ขอ|ต้องการ)?ยกเลิก(?:การ)?รับ{_TH_NOUN}*",
    rf"(?:ฉัน|ผม)?ไม่(?:ต้องการ|อยาก|ขอ)(?:ได้)?รับ{_TH_NOUN}+(?:อีก|แล้ว)*",
]
"""Free-text opt-outs that a reasonable person would understand (47 CFR 64.1200(a)(10)), each a whole
sentence: "I can't stop laughing" and "stop by the store" are none."""
LEAD = _LEAD

# Answers to "was this you?": a whole answer is heads, then perhaps one tail.
_THING = (
    r"(?:it|this|that|these|those|them|anything|(?:this|that|the|these|those|any|my)"
    r"(?: (?:card|online|last))? (?:purchase|transaction|payment|charge|order|one)s?)"
)
YES_HEADS = {
    "en": r"yes+|y|ya|yeah|yea|yep|yup|ok|okay|okey|oki|correct|confirm(?:ed)?|approved?",
    "zh": r"是|是的|對|对|對的|对的|沒錯|没错|確認|确认|正確|正确",
    "ru": r"да|ага|ок|окей|верно|правильно|подтверждаю",
    "th": r"ใช่|ถูกต้อง|โอเค|ตกลง|ยืนยัน",
}
YES_TAILS = {
    "en": r"(?:it|that|this) ?(?:was|is|s|were) (?:really |definitely |indeed )?(?:me|mine|i)"
    r"|thats (?:me|mine)|its (?:me|mine)|was me"
    rf"|i (?:did|made|authori[sz]ed|approved?|recogni[sz]ed?|bought|confirm)(?: {_THING})?",
    "zh": r"是我|是我本人|是本人|我本人|是我(?:買|买|刷|付)的|我(?:買|买|刷|付)的",
    "ru": r"это(?: был[аи]?)? я|это мо[еяй](?: (?:покупка|операция|платеж))?|мо[яй] (?:покупка|платеж)"
    r"|я (?:сделала?|совершила?|купила?|покупала?|оплатила?)(?: (?:это|эту покупку))?",
    "th": r"(?:เป็น)?(?:ฉัน|ผม|ดิฉัน)เอง|เป็น(?:ฉัน|ผม)|(?:ฉัน|ผม)ซื้อเอง",
}
NO_HEADS = {
    "en": r"no+|n|nope|nah|definitely not|absolutely not",
    "zh": r"不|不是|否|沒有|没有|不對|不对",
    "ru": r"не+т|неа|никак нет|не подтверждаю",
    "th": r"ไม่|ไม่ใช่|ปฏิเสธ",
}
NO_TAILS = {
    "en": r"(?:(?:it|that|this) )?(?:was ?n?ot|was ?nt|wasn t|is ?not|isnt|s not) "
    rf"(?:me|mine|i|by me|my (?:purchase|transaction|payment|charge|order))"
    r"|(?:its|thats|definitely|absolutely)? ?not (?:me|mine|my (?:purchase|transaction|charge|order))"
    rf"|i (?:did ?not|did ?nt|didn t|dint|have ?not|havent|never|do ?not|dont|don t)"
    r" (?:do|done|did|make|made|authori[sz]ed?|approved?|recogni[sz]ed?|buy|bought|place|placed)"
    rf"(?: {_THING})?|i (?:did ?not|did ?nt)"
    r"|i (?:do ?not|dont) know (?:this|that|the) (?:purchase|transaction|payment|charge|order)"
    rf"|{_THING} (?:is|was) (?:a )?(?:fraud|fraudulent|unauthori[sz]ed)|its (?:a )?fraud"
    r"|(?:please )?block (?:it|my card|the card|this card)",
    "zh": r"不是我|非本人|不是本人|不是我本人|不是我(?:買|买|刷|付|做)的"
    r"|我(?:沒|没)(?:有)?(?:買|买|刷|付|做)?(?:過|过|這筆|这笔)?",
    "ru": r"(?:это )?(?:был[аио]? )?не я|это не мо[еяй](?: (?:покупка|операция|платеж))?"
    r"|не мо[еяй](?: (?:покупка|операция|платеж))?"
    r"|я (?:этого |это )?не (?:делала?|сделала?|совершала?|покупала?|платила?|оплачивала?)"
    r"(?: (?:это|этого|эту покупку|такого))?",
    "th": r"(?:ฉัน|ผม|ดิฉัน)?ไม่ได้(?:ทำ|ซื้อ|จ่าย|ใช้)(?:รายการนี้|เอง)?|ไม่ใช่(?:ฉัน|ผม|ดิฉัน)",
}
YES_EMOJI = "👍✅✔👌🆗"
NO_EMOJI = "👎❌✖🚫⛔"

# A text that holds one of these says something about yes or no, so that it is never mere talk.
SIGNALS = {
    "en": r"yes+|yeah|yep|yup|ok|okay|okey|no+|nope|nah|not|never|cannot|fraud\w*|mine|block"
    r"|(?:do|did|was|is|have|has|ca|wo|could|would)nt|dint|it was me|i did",
    "ru": r"да|нет|не|неа|ок|окей|верно",
}
SIGNS = "是|不|對|对|沒|没|否|ใช่|ไม่"
QUESTIONS = r"[?？؟]|嗎|吗|ไหม|มั้ย|หรือเปล่า"

NUMBERS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10,
    "ноль": 0, "один": 1, "единица": 1, "два": 2, "двойка": 2, "три": 3, "тройка": 3,
    "четыре": 4, "четверка": 4, "пять": 5, "пятерка": 5, "шесть": 6, "семь": 7, "восемь": 8,
    "девять": 9, "десять": 10,
    "一": 1, "二": 2, "兩": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9,
    "十": 10,
    "หนึ่ง": 1, "สอง": 2, "สาม": 3, "สี่": 4, "ห้า": 5, "หก": 6, "เจ็ด": 7, "แปด": 8, "เก้า": 9,
    "สิบ": 10,
}  # fmt: skip
UNIT = r"(?:stars?|points?|pts|分|星|顆星|颗星|звезд[аыу]?|балл(?:а|ов)?|ดาว|คะแนน)"
OUT_OF = r"(?:/|out of|outta|of|из|จาก|เต็ม)"
RATING_LEAD = (
    r"(?:(?:i|id|ill|would|will|my|the|we|its|it is|a|an|is|of|it|this|you|as|say|maybe"
    r"|about|definitely|solid|overall|give|gave|rate|rated|rating|score|scored|answer|vote|grade"
    r"|моя|оценка|ставлю|поставлю|дам|твердая|我|給|给|打|評|评|評分|评分|ให้|ฉัน|ผม) ?)*"
)
NOT_RATED = (
    r"(?:hours?|hrs?|minutes?|mins?|days?|weeks?|months?|years?|times?|people|persons?|items?"
    r"|orders?|things?|bags?|box(?:es)?|pieces?|pairs?|calls?|emails?|visits?|missing"
    r"|pm|am|oclock|nights?|and (?:a )?half|km|kg|percent"
    r"|dollars?|euros?|th|st|nd|rd|more|other|of (?:us|them|the)"
    r"|час\w*|минут\w*|д(?:ень|ня|ней)|раза?|小時|小时|分鐘|分钟|天|次|個|个|ชั่วโมง|นาที|วัน|ครั้ง)"
)
