"""What the page of a question says, in the languages that questions are asked in."""

from collections.abc import Mapping

from signalpost.content.locales import fallbacks

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "page": "Your answer",
        "choose": "Choose a number: {low} is the worst, {high} the best.",
        "comment": "Would you like to add a few words? A person reads them.",
        "send": "Send",
        "thanks": "Thank you, we have your answer",
        "kept": "You can close this page now.",
        "closed": "This question is closed",
        "why_closed": "We have an answer already, or it is too late for one, or the link is not "
        "complete. If something is wrong, please open our app or call us.",
    },
    "zh-Hant": {
        "page": "您的回答",
        "choose": "請選擇一個數字：{low} 為最差，{high} 為最好。",
        "comment": "您想補充幾句話嗎？我們會有專人閱讀。",
        "send": "送出",
        "thanks": "謝謝您，我們已收到您的回答",
        "kept": "您現在可以關閉此頁面。",
        "closed": "這個問題已結束",
        "why_closed": "我們已收到回答，或回答期限已過，或連結不完整。"
        "如有疑問，請開啟我們的應用程式或致電我們。",
    },
    "zh-Hans": {
        "page": "您的回答",
        "choose": "请选择一个数字：{low} 为最差，{high} 为最好。",
        "comment": "您想补充几句话吗？我们会有专人阅读。",
        "send": "提交",
        "thanks": "谢谢您，我们已收到您的回答",
        "kept": "您现在可以关闭此页面。",
        "closed": "这个问题已结束",
        "why_closed": "我们已收到回答，或回答期限已过，或链接不完整。"
        "如有疑问，请打开我们的应用或致电我们。",
    },
    "ru": {
        "page": "Ваш ответ",
        "choose": "Выберите число: {low} - хуже всего, {high} - лучше всего.",
        "comment": "Хотите добавить пару слов? Их читает человек.",
        "send": "Отправить",
        "thanks": "Спасибо, мы получили ваш ответ",
        "kept": "Эту страницу можно закрыть.",
        "closed": "Этот вопрос закрыт",
        "why_closed": "Ответ уже получен, или срок прошёл, или ссылка неполная. Если что-то не так, "
        "откройте наше приложение или позвоните нам.",
    },
    "th": {
        "page": "คำตอบของคุณ",
        "choose": "เลือกตัวเลข: {low} คือแย่ที่สุด {high} คือดีที่สุด",
        "comment": "อยากเพิ่มข้อความสั้น ๆ ไหม เรามีคนอ่านทุกข้อความ",
        "send": "ส่ง",
        "thanks": "ขอบคุณ เราได้รับคำตอบของคุณแล้ว",
        "kept": "คุณปิดหน้านี้ได้แล้ว",
        "closed": "คำถามนี้ปิดแล้ว",
        "why_closed": "เราได้รับคำตอบแล้ว หรือหมดเวลาตอบแล้ว หรือลิงก์ไม่ครบถ้วน "
        "หากมีปัญหา โปรดเปิดแอปของเราหรือโทรหาเรา",
    },
}


def answer_words(locale: str | None) -> Mapping[str, str]:
    """Give the page's words in the nearest language they are written in; ``lang`` says which."""
    tag = next((tag for tag in fallbacks(locale, "en") if tag in _WORDS), "en")
    return {**_WORDS[tag], "lang": tag}
