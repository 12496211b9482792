"""Bytes of any encoding become the text that somebody wrote, whole and line by line."""

import codecs
import io
import random
import re
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s2sbot import Lost, decode_text
from s2sbot.text import encoding as module
from s2sbot.text.encoding import CHUNK, LONGEST_LINE, text_lines
from s2sbot.text.mojibake import repair

ROOT = Path(__file__).parents[2]
SUBS = ROOT.parent / "shared" / "data" / "subs"
TEXT = "Grüße!\nŽluťoučký kůň – 日本語 🚢\n"
WEST = "cp1252 cp1254 iso8859_15 iso8859_9 cp850 cp437"
CENTRAL = "cp1250 iso8859_2 cp852"
CYRILLIC = "cp1251 koi8_r iso8859_5 cp866 mac_cyrillic"
BALTIC = "cp1257 iso8859_13 cp775"
ENCODINGS = {
    "polish": CENTRAL,
    "czech": CENTRAL,
    "slovak": CENTRAL,
    "hungarian": CENTRAL,
    "romanian": CENTRAL,
    "croatian": CENTRAL,
    "greek": "cp1253 iso8859_7 cp737",
    "turkish": "cp1254 iso8859_9 cp857",
    "hebrew": "cp1255 iso8859_8 cp862",
    "arabic": "cp1256 iso8859_6",
    "persian": "cp1256",
    "russian": CYRILLIC,
    "ukrainian": "cp1251 koi8_u mac_cyrillic",
    "bulgarian": CYRILLIC,
    "lithuanian": BALTIC,
    "vietnamese": "cp1258",
    "thai": "cp874 tis_620",
    "japanese": "cp932 shift_jis euc_jp iso2022_jp",
    "korean": "cp949 euc_kr johab iso2022_kr",
    "simplified chinese": "gb18030 gbk gb2312",
    "traditional chinese": "big5 cp950 gb18030",
    "french": "cp1252 iso8859_15 cp850 mac_roman",
    "german": WEST,
    "spanish": "cp1252 iso8859_1 iso8859_15 cp850 mac_roman",
    "portuguese": "cp1252 iso8859_1 cp850",
    "italian": WEST,
    "dutch": WEST,
    "swedish": WEST,
    "danish": "cp1252 iso8859_1 cp850 mac_roman",
    "norwegian": "cp1252 iso8859_1 cp850",
    "finnish": WEST,
    "icelandic": "cp1252 iso8859_1 cp850 cp861",
    "english": "cp1252 cp1250 cp1254 mac_roman",
}
DIALOGUES = {
    "polish": """Gdzie są moje klucze? Przecież leżały tutaj wczoraj wieczorem.
Nie wiem, może zabrał je twój brat.
On nigdy niczego nie oddaje, to już trzeci raz w tym miesiącu!
Uspokój się i usiądź, zaraz coś wymyślimy.
Dobrze, ale musimy się śpieszyć. Pociąg odjeżdża o szóstej.
Zadzwonię do niego. Proszę, odbierz wreszcie!
Cześć, słyszysz mnie? Wracaj natychmiast do domu.""",
    "czech": """Kde jsi byl celou noc? Měla jsem o tebe strach.
Promiň, ujel mi poslední vlak a musel jsem jít pěšky.
Mohl jsi aspoň zavolat. Proč máš vlastně telefon?
Vybil se mi. Příště si vezmu nabíječku, slibuju.
To říkáš pokaždé. Pojď, večeře už je studená.
Děkuju ti. Nikdo nevaří tak dobře jako ty.
Běž si nejdřív umýt ruce, ať můžeme začít.""",
    "slovak": """Prečo si mi nepovedal, že odchádzaš?
Nechcel som ťa zobudiť, bolo ešte veľmi skoro.
Vieš, že som ti chcela dať niečo na cestu.
Vrátim sa o týždeň, nebuď smutná.
Sľubuješ? Naposledy si hovoril to isté.
Samozrejme. Tentoraz naozaj prídem včas.
Dobre teda. Dávaj si pozor a zavolaj každý večer.""",
    "hungarian": """Hol voltál tegnap este? Egész éjjel vártunk rád.
Sajnálom, elromlott az autóm, és nem tudtam telefonálni.
Legalább egy üzenetet küldhettél volna.
Igazad van, de nagyon későn értem haza.
Jól van, ülj le, mindjárt kész a vacsora.
Köszönöm. Van még abból a finom levesből?
Természetesen, különösen neked főztem. Kérsz hozzá kenyeret?
Igen, és egy pohár bort is, ha lehet. Fűszeres és erős.""",
    "romanian": """Unde ai fost toată noaptea? Am așteptat până dimineață.
Îmi pare rău, mașina s-a stricat în mijlocul drumului.
Și de ce nu ai sunat? Știi că îmi fac griji.
Telefonul era descărcat, n-am avut ce să fac.
Bine, hai să mâncăm. Ți-am păstrat ceva cald.
Mulțumesc, ești foarte bună cu mine.
Mâine mergem împreună la țară, așa cum ți-am promis.""",
    "croatian": """Gdje si bio cijelu noć? Čekali smo te do jutra.
Oprosti, pokvario mi se auto, a nisam mogao nazvati.
Mogao si barem poslati poruku. Svi smo bili zabrinuti.
Znam, žao mi je. Više se neće ponoviti.
Dobro, sjedni. Još uvijek ima juhe ako želiš.
Hvala ti. Što bih ja bez tebe?
Vjerojatno bi umro od gladi. Dođi, večera će se ohladiti.""",
    "greek": """Πού ήσουν χθες το βράδυ; Σε περιμέναμε όλη τη νύχτα.
Συγγνώμη, χάλασε το αυτοκίνητο και δεν μπορούσα να τηλεφωνήσω.
Άκουσέ με, δεν θέλω άλλες δικαιολογίες.
Έχεις δίκιο, δεν θα ξαναγίνει ποτέ.
Εντάξει, κάθισε. Το φαγητό είναι ακόμα ζεστό.
Ευχαριστώ πολύ. Είσαι ο καλύτερος φίλος μου.
Αύριο πρέπει να φύγουμε νωρίς, πριν ξημερώσει.""",
    "turkish": """Dün gece neredeydin? Seni sabaha kadar bekledik.
Özür dilerim, arabam bozuldu ve telefonum çalışmadı.
En azından bir haber verebilirdin, çok endişelendik.
Haklısın, bir daha böyle bir şey olmayacak.
Peki, otur bakalım. Çorba hâlâ sıcak, ister misin?
Teşekkür ederim, gerçekten çok acıktım.
Şimdi yemeğini ye, sonra konuşuruz. Yarın işin var mı?
Hayır, yarın izinliyim. Belki İstanbul'a gideriz.""",
    "hebrew": """איפה היית אתמול בלילה? חיכינו לך עד הבוקר.
אני מצטער, המכונית התקלקלה ולא יכולתי להתקשר.
יכולת לפחות לשלוח הודעה. כולם דאגו לך.
את צודקת, זה לא יקרה שוב.
טוב, שב. האוכל עדיין חם.
תודה רבה, אני ממש רעב.
מחר אנחנו יוצאים מוקדם, אז לך לישון.""",
    "arabic": """أين كنت الليلة الماضية؟ انتظرناك حتى الصباح.
أنا آسف، تعطلت السيارة ولم أستطع الاتصال بكم.
كان بإمكانك أن ترسل رسالة على الأقل.
معك حق، لن يحدث هذا مرة أخرى.
حسنا، اجلس. العشاء لا يزال ساخنا.
شكرا جزيلا، أنا جائع جدا.
غدا يجب أن نخرج مبكرا، هل أنت مستعد؟""",
    "persian": """ديشب کجا بودي؟ تا صبح منتظرت مانديم.
ببخشيد، ماشينم خراب شد و نتوانستم زنگ بزنم.
مي توانستي حداقل يک پيام بفرستي. همه نگران بودند.
حق با توست، ديگر تکرار نمي شود.
خوب، بنشين. غذا هنوز گرم است.
خيلي ممنون، واقعا گرسنه ام. چه چيزي پختي؟
فردا بايد زود برويم، پس برو بخواب.""".replace("ک", "ك"),
    "russian": """Где ты был всю ночь? Мы ждали тебя до самого утра.
Прости, у меня сломалась машина, а телефон разрядился.
Мог бы хоть записку оставить. Мама очень волновалась.
Я знаю, мне очень жаль. Больше такого не повторится.
Ладно, садись. Суп ещё горячий, будешь?
Спасибо, я страшно голоден. Что у нас на завтра?
Завтра едем к бабушке, так что ложись пораньше.""",
    "ukrainian": """Де ти був цілу ніч? Ми чекали на тебе до самого ранку.
Вибач, у мене зламалася машина, а телефон розрядився.
Міг би хоча б залишити записку. Мама дуже хвилювалася.
Я знаю, мені дуже шкода. Більше такого не буде.
Гаразд, сідай їсти. Борщ іще гарячий, хочеш?
Дякую, я страшенно голодний. Який у нас план на завтра?
Завтра їдемо до бабусі в село, тож лягай раніше.""",
    "bulgarian": """Къде беше цяла нощ? Чакахме те до сутринта.
Съжалявам, колата ми се счупи и не можах да се обадя.
Можеше поне да оставиш бележка. Всички се тревожехме.
Знам, няма да се повтори. Обещавам ти.
Добре, сядай. Супата още е топла, искаш ли?
Благодаря, умирам от глад. Какво ще правим утре?
Утре тръгваме рано към морето, така че лягай си.""",
    "lithuanian": """Kur buvai visą naktį? Mes laukėme tavęs iki ryto.
Atleisk, sugedo mano mašina, o telefonas išsikrovė.
Galėjai bent žinutę parašyti. Visi labai jaudinomės.
Žinau, man labai gaila. Daugiau taip nebus.
Gerai, sėsk. Sriuba dar šilta, ar nori?
Ačiū, esu labai išalkęs. Ką veiksime rytoj?
Rytoj važiuosime pas močiutę, todėl eik miegoti anksčiau.""",
    "vietnamese": """Đêm qua anh ở đâu? Chúng tôi đã đợi anh đến sáng.
Xin lỗi, xe của tôi bị hỏng và điện thoại hết pin.
Ít nhất anh cũng có thể gửi một tin nhắn chứ.
Tôi biết, tôi thật sự rất tiếc. Sẽ không có lần sau đâu.
Được rồi, ngồi xuống đi. Phở vẫn còn nóng đấy.
Cảm ơn em, anh đói quá. Ngày mai mình làm gì?
Ngày mai chúng ta về quê thăm bà ngoại, nên anh ngủ sớm đi.""",
    "thai": """เมื่อคืนคุณไปไหนมา พวกเรารอคุณทั้งคืนเลย
ขอโทษนะ รถของผมเสีย แล้วโทรศัพท์ก็แบตหมด
อย่างน้อยคุณก็น่าจะส่งข้อความมาบอกกันบ้าง
ผมรู้ ผมเสียใจจริงๆ จะไม่เกิดขึ้นอีกแล้ว
เอาเถอะ นั่งลงก่อน ข้าวยังร้อนอยู่เลย
ขอบคุณมาก ผมหิวจะตายอยู่แล้ว พรุ่งนี้เราจะทำอะไรกันดี
พรุ่งนี้เราจะไปเยี่ยมคุณยาย เพราะฉะนั้นรีบนอนนะ""",
    "japanese": """昨日の夜、どこにいたの？みんな朝まで待っていたんだよ。
ごめん、車が壊れて、電話もつながらなかったんだ。
せめてメールくらい送ってくれればよかったのに。
わかってる。本当に悪かった。もう二度としないよ。
まあいい、座って。スープはまだ温かいから。
ありがとう。お腹がペコペコなんだ。明日は何をする？
明日はおばあちゃんの家に行くから、早く寝なさい。""",
    "korean": """어젯밤에 어디 있었어? 우리 모두 아침까지 기다렸잖아.
미안해, 차가 고장 났고 전화기도 꺼졌어.
그래도 문자 한 통은 보낼 수 있었잖아.
알아, 정말 미안해. 다시는 그런 일 없을 거야.
좋아, 앉아. 국이 아직 따뜻하니까 먹을래?
고마워, 배고파 죽겠어. 내일은 뭐 할까?
내일 할머니 댁에 가야 하니까 일찍 자.""",
    "simplified chinese": """你昨天晚上去哪儿了？我们一直等到早上。
对不起，我的车坏了，手机也没电了。
你至少可以发个短信吧，大家都很担心。
我知道，真的很抱歉。以后再也不会了。
好吧，坐下。汤还是热的，你要不要喝一点？
谢谢，我快饿死了。明天我们做什么？
明天要去看奶奶，所以你早点睡觉。""",
    "traditional chinese": """你昨天晚上去哪裡了？我們一直等到早上。
對不起，我的車壞了，手機也沒電了。
你至少可以發個簡訊吧，大家都很擔心。
我知道，真的很抱歉。以後再也不會了。
好吧，坐下。湯還是熱的，你要不要喝一點？
謝謝，我快餓死了。明天我們做什麼？
明天要去看奶奶，所以你早點睡覺。""",
    "french": """Où étais-tu hier soir ? On t'a attendu jusqu'à l'aube.
Désolé, ma voiture est tombée en panne et je n'avais plus de réseau.
Tu aurais pu laisser un message, ta mère était très inquiète.
Je sais, ça ne se reproduira plus, je te le promets.
Bon, assieds-toi. La soupe est encore chaude, tu en veux ?
Merci, je meurs de faim. Ça sent drôlement bon.
Demain, on se lève tôt : ma sœur nous attend à la gare.""",
    "german": """Wo warst du gestern Nacht? Wir haben bis zum Morgen gewartet.
Es tut mir leid, das Auto war kaputt, und ich hatte kein Netz.
Du hättest wenigstens eine Nachricht schicken können.
Ich weiß, das war blöd von mir. Es kommt nicht wieder vor.
Na schön, setz dich. Die Suppe ist noch heiß, möchtest du welche?
Danke, ich habe schrecklichen Hunger. Was gibt es für Pläne?
Morgen müssen wir früh zur Großmutter nach München.""",
    "spanish": """¿Dónde estabas anoche? Te esperamos hasta la mañana.
Lo siento, se me averió el coche y no tenía batería en el teléfono.
Podrías haber mandado un mensaje, mamá no durmió nada.
Ya lo sé. No volverá a pasar, te lo juro.
Está bien, siéntate. La sopa todavía está caliente, ¿quieres?
¡Gracias! Tengo muchísima hambre. ¿Qué haremos mañana?
Mañana iremos al pueblo a ver a la señora Núñez.""",
    "portuguese": """Onde você estava ontem à noite? Esperamos até de manhã.
Desculpe, meu carro quebrou e eu não tinha bateria no telefone.
Você podia ter mandado uma mensagem. Todos ficaram preocupados.
Eu sei, não vai acontecer de novo. Dou a minha palavra.
Está bem, sente-se. A sopa ainda está quente, você quer?
Obrigado, estou com muita fome. O que vamos fazer amanhã?
Amanhã vamos visitar a avó lá no sertão, então durma cedo. Três horas de viagem, é só isso.""",
    "italian": """Dov'eri ieri sera? Ti abbiamo aspettato fino al mattino, perché non sei venuto?
Mi dispiace, la macchina si è rotta e il telefono era scarico.
Potevi almeno mandare un messaggio. La mamma è così preoccupata.
Lo so, non succederà più. Te lo prometto.
Va bene, siediti. La zuppa è ancora calda, ne vuoi un po'?
Grazie, ho una fame terribile. Che cosa c'è di più buono?
Domani andiamo in città, però adesso vai a dormire. Già, è lunedì.""",
    "dutch": """Waar was je gisteravond? We hebben tot de ochtend op je gewacht.
Sorry, mijn auto ging kapot en ik had geen bereik. Het was één grote ellende.
Je had toch op zijn minst een bericht kunnen sturen.
Dat weet ik. Het zal niet meer gebeuren, ik beloof het je.
Goed, ga zitten. De soep is nog warm, wil je wat?
Dank je, ik heb vreselijke honger. België wint zeker vanavond.
Morgen gaan we naar oma aan zee, dus ga op tijd slapen. Géén gezeur.""",
    "swedish": """Var var du i går kväll? Vi väntade på dig ända till morgonen.
Förlåt, min bil gick sönder och jag hade ingen täckning.
Du kunde åtminstone ha skickat ett meddelande.
Jag vet, det ska aldrig hända igen. Jag lovar.
Nåja, sätt dig. Soppan är fortfarande varm, vill du ha?
Tack, jag är jättehungrig. Vad ska vi göra i morgon?
I morgon åker vi till mormor, så gå och lägg dig tidigt.""",
    "danish": """Hvor var du i går aftes? Vi ventede på dig hele natten.
Undskyld, min bil gik i stykker, og jeg havde ingen dækning.
Du kunne i det mindste have sendt en besked.
Det ved jeg godt. Det kommer ikke til at ske igen.
Okay, sæt dig ned. Suppen er stadig varm, vil du smage?
Tak, jeg er dødsulten. Hvad skal vi lave i morgen?
I morgen kører vi ud til bedstemor på øen, så gå tidligt i seng.""",
    "norwegian": """Hvor var du i går kveld? Vi ventet på deg hele natten.
Unnskyld, bilen min ble ødelagt, og jeg hadde ikke dekning.
Du kunne i det minste ha sendt en melding.
Jeg vet det. Det skal aldri skje igjen, jeg lover.
Greit, sett deg. Suppa er ennå varm, vil du ha litt?
Takk, jeg er så sulten at jeg dør. Hva gjør vi på lørdag?
Vi drar på hytta til bestemor, så nå må du få deg litt søvn. Være så god.""",
    "finnish": """Missä sinä olit viime yönä? Me odotimme sinua aamuun asti.
Anteeksi, autoni hajosi eikä puhelimessa ollut enää virtaa.
Olisit voinut edes lähettää viestin. Äiti oli hyvin huolissaan.
Tiedän, se ei toistu enää ikinä. Minä lupaan sen.
Hyvä on, istu alas. Keitto on vielä lämmintä, haluatko?
Kiitos, minulla on hirveä nälkä. Mitä me teemme huomenna?
Huomenna lähdemme mummolaan, joten mene ajoissa nukkumaan.""",
    "icelandic": """Hvar varstu í gærkvöldi? Við biðum eftir þér alla nóttina.
Fyrirgefðu, bíllinn minn bilaði og síminn var rafmagnslaus.
Þú hefðir að minnsta kosti getað sent skilaboð.
Ég veit það. Þetta kemur aldrei fyrir aftur, ég lofa.
Allt í lagi, sestu niður. Súpan er ennþá heit, viltu fá þér?
Takk, ég er að deyja úr hungri. Hvað gerum við á morgun?
Á morgun förum við til ömmu, svo að þú skalt fara snemma að sofa.""",
    "english": """Where were you last night? We waited till morning, and you didn’t call.
I’m sorry, the car broke down and there was no signal…
You could have sent a message – your mother couldn’t sleep.
I know. It won’t happen again, “cross my heart”, as they say.
Fine, sit down. The soup is still hot, isn’t it?
Thanks, I’m starving. What’s the plan for tomorrow?
We’re meeting Zoë at the café, so don’t stay up late.""",
}
"""What is said in subtitles, in the encodings that subtitles of the language come in."""
CASES = [(language, encoding) for language, names in ENCODINGS.items() for encoding in names.split()]
PLAIN = "\n".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n + 2:02},500\n{{}}\n" for n in range(10, 17))


def toned(text):
    """Put Vietnamese tone marks behind their letters, as cp1258 has them."""
    tones = "\u0300\u0301\u0303\u0309\u0323"
    parts = []
    for char in text:
        whole = unicodedata.normalize("NFD", char)
        tone = "".join(mark for mark in whole if mark in tones)
        parts.append(unicodedata.normalize("NFC", whole.translate(dict.fromkeys(map(ord, tones)))) + tone)
    return "".join(parts)


def encoded(language, encoding):
    text = PLAIN.format(*DIALOGUES[language].split("\n")[:7])
    if encoding == "iso8859_15" or "œ" not in text or encoding in ("cp1252", "mac_roman"):
        whole = text
    else:
        whole = text.replace("œ", "oe")
    if language == "romanian":
        whole = whole.translate(str.maketrans("șțȘȚ", "şţŞŢ"))  # what these code pages have in their place
    return whole, (toned(whole) if encoding == "cp1258" else whole).encode(encoding)


def lines_of(data):
    return list(text_lines(io.BytesIO(data)))


# Unicode


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_and_without_a_mark(encoding):
    assert decode_text(TEXT.encode(encoding)) == (TEXT, encoding)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_marks_of_both_byte_orders(mark, encoding):
    assert decode_text(mark + TEXT.encode(encoding))[0] == TEXT
    assert lines_of(mark + TEXT.encode(encoding)) == TEXT.split("\n")[:-1]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", DIALOGUES)
def test_wide_encodings_are_known_by_their_zero_bytes(language, encoding):
    text = PLAIN.format(*DIALOGUES[language].split("\n")[:7])
    assert decode_text(text.encode(encoding)) == (text, encoding)
    assert lines_of(text.encode(encoding)) == text.removesuffix("\n").split("\n")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\ufeff")), st.data())
def test_a_head_may_end_inside_a_character(text, data):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    whole = text.encode(encoding)
    head = whole[: data.draw(st.integers(0, len(whole)))]
    if encoding == "utf-8" or len(head) > 3:
        assert text.startswith(decode_text(head, cut=True)[0])


def test_without_cut_half_a_character_is_no_utf_8():
    assert decode_text("日本".encode()[:-1], cut=True) == ("日", "utf-8")
    with pytest.raises(ValueError):
        decode_text("日本".encode("utf-16")[:-1])


@pytest.mark.parametrize("language", [name for name in DIALOGUES if name != "english"])
@pytest.mark.parametrize("broken", [b"\xff", b"\xe9", b"\xc3", b"\xf0\x9f\x98", b"\xed\xb8\x80", b"\x92", b"\xc0\xaf"])
def test_a_few_broken_bytes_make_no_other_encoding_of_utf_8(language, broken):
    before, after = DIALOGUES[language].split("\n", 1)
    text, encoding = decode_text(f"{before}\n".encode() + broken + f"\n{after}".encode())
    assert encoding == "utf-8"
    assert text.startswith(f"{before}\n") and text.endswith(f"\n{after}")
    assert re.fullmatch("\ufffd+", text[len(before) + 1 : -len(after) - 1])


def test_a_file_cut_off_inside_a_character_is_still_utf_8():
    assert decode_text(DIALOGUES["czech"].encode() + "ž".encode()[:1])[0] == DIALOGUES["czech"] + "\ufffd"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_characters_in_two_surrogates_are_put_together(mark):
    halves = "\ud83d\udea2".encode("utf-8", "surrogatepass")
    assert decode_text(mark + "Loď ".encode() + halves + b" pluje\xc0\x80")[0] == "Loď 🚢 pluje"


def test_a_few_zero_bytes_are_dropped_and_many_are_no_text():
    text = DIALOGUES["german"]
    for encoding in ("utf-8", "cp1252"):
        data = text.encode(encoding)
        assert decode_text(data[:70] + b"\0" + data[70:] + b"\0")[0] == text
        with pytest.raises(ValueError, match="binary"):
            decode_text(b"\0".join(data[place : place + 30] for place in range(0, len(data), 30)))


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 8,
        b"\0" * 100,
        codecs.BOM_UTF8 + b"\xff\xfe\xff",
        b"a\n" + bytes(range(128)),
        random.Random(1).randbytes(5000),
    ],
)
def test_binary_data_is_refused(data):
    with pytest.raises(ValueError, match=r"text|UTF-8"):
        decode_text(data)
    with pytest.raises(ValueError, match=r"text|UTF-8"):
        lines_of(data)


# Old encodings


@pytest.mark.parametrize(("language", "encoding"), CASES)
def test_dialogues_in_the_encodings_of_their_language(language, encoding):
    text, data = encoded(language, encoding)
    assert decode_text(data)[0] == text
    assert decode_text(data.replace(b"\n", b"\r\n"))[0] == text
    assert lines_of(data) == text.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. Šel jsem domů, protože bylo už pozdě večer a tma.\n"),
        ("cp1250", "Gdzie są moje książki? Żółta łódź płynie w świetle księżyca, a ja już nic nie słyszę.\n"),
        ("cp1252", "Où êtes-vous allée cet été ? J’étais très fatiguée, alors je suis restée à la maison.\n"),
        ("cp1252", "¿Dónde está mañana el niño? ¡Qué sueño más extraño! No sé qué pasó después en España.\n"),
        ("cp1252", "Wir müssen über die Brücke gehen, sagte er, und natürlich schloß Jürgen höflich die Tür.\n"),
        ("cp1251", "Куда мы идём? Мы идём домой, потому что уже поздно и очень холодно на улице.\n"),
        ("cp1252", "JE SUIS DÉSOLÉ, MAIS C’ÉTAIT TROP TARD. OÙ ÊTES-VOUS ?\n"),
        ("cp1251", "КУДА МЫ ИДЁМ? МЫ ИДЁМ ДОМОЙ, ПОТОМУ ЧТО УЖЕ ПОЗДНО.\n"),
        ("koi8_r", "КУДА МЫ ИДЁМ? МЫ ИДЁМ ДОМОЙ, ПОТОМУ ЧТО УЖЕ ПОЗДНО.\n"),
        ("cp1252", "The café was closed.\n"),
        ("cp1252", "It’s 20° outside, and half past nine…\n"),
        ("cp1253", "Άκου. Έλα. Ήρθε. Όχι. Ώρα.\n"),
        ("cp1251", "Привет!\n"),
        ("gb18030", "你好。\n"),
        ("cp932", "ありがとう。\n"),
        ("cp949", "안녕하세요.\n"),
    ],
)
@pytest.mark.parametrize("times", [1, 20])
def test_old_encodings_by_one_line_and_by_many(encoding, text, times):
    assert decode_text((text * times).encode(encoding))[0] == text * times


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CASES), st.randoms(use_true_random=False))
def test_lines_in_any_order_are_still_read(case, chance):
    language, encoding = case
    _, data = encoded(language, encoding)
    text = decode_text(data)[0]
    lines = DIALOGUES[language].split("\n")
    chance.shuffle(lines)
    lines = lines[:5]
    if all(line in text for line in lines):  # else the encoding cannot hold the line
        whole = "\n".join(lines)
        assert decode_text((toned(whole) if encoding == "cp1258" else whole).encode(encoding))[0] == whole


@pytest.mark.parametrize(("language", "encoding"), CASES)
def test_the_head_tells_what_the_whole_does(language, encoding):
    text, data = encoded(language, encoding)
    many = data * (2**18 // len(data))
    head, found = decode_text(many[: 2**16], cut=True)
    assert (text * 200).startswith(head.rstrip("\ufffd"))
    assert decode_text(many)[1] == found


def test_high_bytes_late_in_the_file_are_looked_for():
    assert decode_text(b"nothing here\n" * 50_000 + "Žluťoučký kůň".encode("cp1250"))[0].endswith("Žluťoučký kůň")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_line_ends_of_every_system(end):
    assert decode_text(f"a{end}b{end}{end}c".encode())[0] == "a\nb\n\nc"
    assert lines_of(f"a{end}b{end}{end}c{end}".encode()) == ["a", "b", "", "c"]


def test_mixed_line_ends():
    assert decode_text(b"a\rb\nc\r\nd\n\re")[0] == "a\nb\nc\nd\n\ne"
    assert lines_of(b"a\rb\nc\r\nd\n\re") == ["a", "b", "c", "d", "", "e"]


# Lines


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_what_may_stand_inside_a_sentence_ends_no_line(odd):
    assert lines_of(f"a{odd}b\nc".encode()) == [f"a{odd}b", "c"]


@pytest.mark.parametrize(("data", "lines"), [(b"", []), (b"\n", [""]), (b"a", ["a"]), (b"\n\na\n", ["", "", "a"])])
def test_few_lines(data, lines):
    assert lines_of(data) == lines


PIECES = st.lists(st.sampled_from([b"a", "é".encode(), "日".encode(), b"\r", b"\n", b"\r\n", b"\r\r\n", b"bc"]))


@given(PIECES, st.integers(1, 7))
def test_lines_do_not_depend_on_where_the_file_is_cut_into_chunks(pieces, size):
    data = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", size)
        lines = lines_of(data)
    whole = decode_text(data)[0]
    assert lines == (whole.removesuffix("\n").split("\n") if whole else [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "cp932"])
def test_files_of_many_chunks(encoding, end):
    line = {"cp1252": "où êtes-vous allée cet été", "cp932": "昨日の夜、どこにいたの"}.get(encoding, "日本 é 🚢 x")
    many = 2 * CHUNK // len(line)
    lines = lines_of((f"{line}{end}" * many).encode(encoding))
    assert len(lines) == many
    assert set(lines) == {line}


def test_a_line_that_is_no_utf_8_is_lost_and_the_rest_is_read():
    data = "žluť\n".encode() * 3 + b"caf\xe9\n" + "kůň\n".encode()
    assert lines_of(data) == ["žluť"] * 3 + [Lost("not UTF-8", 4), "kůň"]
    late = ("žluť\n" * CHUNK).encode()
    assert [line for line in lines_of(late + b"\xff\n" + late) if line != "žluť"] == [Lost("not UTF-8", CHUNK + 1)]


def test_half_a_character_at_the_end_of_a_wide_file_is_lost():
    assert lines_of("ahoj\nkůň".encode("utf-16")[:-1]) == ["ahoj", Lost("not UTF-8", 2)]
    halves = "ahoj\nkůň\ud800\nahoj".encode("utf-16", "surrogatepass")
    assert lines_of(halves) == ["ahoj", Lost("not UTF-8", 2), "ahoj"]


def test_a_stray_byte_first_spoils_no_utf_8_after_it():
    cyrillic = DIALOGUES["russian"].split("\n")
    stray = b"caf\xe9\n" + b"ascii\n" * CHUNK + DIALOGUES["russian"].encode()
    assert lines_of(stray)[-7:] == cyrillic


def test_a_line_that_is_too_long_is_lost_and_the_rest_is_read():
    long = b"x" * (LONGEST_LINE + 1)
    lost = f"longer than {LONGEST_LINE} bytes"
    for data in (long, long * 3):
        for end in (b"\n", b"\r\n", b"\r"):
            lines = lines_of(end.join([b"a", data, b"b", data, b"", "é".encode()]))
            assert lines == ["a", Lost(lost, 2), "b", Lost(lost, 4), "", "é"]
    assert lines_of(b"x" * LONGEST_LINE + b"\ny") == ["x" * LONGEST_LINE, "y"]


class Endless(io.RawIOBase):
    """Gives `size` bytes of `piece` again and again, without ever holding them."""

    def __init__(self, piece, size):
        self.left = size
        self.piece = piece * (2**20 // len(piece))

    def read(self, size=-1):
        assert 0 < size <= 2**20
        size = min(size, self.left, len(self.piece))
        self.left -= size
        return self.piece[:size]


@pytest.mark.parametrize(
    ("piece", "count"),
    [
        (b"x", 1),
        (b"\r" + b"x" * 1023, 16 * 2**10 + 1),
        (b"x" * 1023 + b"\r", 16 * 2**10),
        (b"cr\xe8me" + b" brulee" * 100 + b"\n", 16 * 2**20 // 706),
    ],
)
def test_a_file_is_never_held_whole(piece, count):
    tracemalloc.start()
    try:
        found = sum(1 for _ in text_lines(Endless(piece, 16 * 2**20)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == pytest.approx(count, rel=0.01)
    assert peak < 10 * 2**20


# Any bytes


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=40).map(lambda data: data * 9)))
@example(b"\x1b$B")
@example(b"\x1b$)C\x0e")
@example(b"\xff\xfe\x00")
@example(b"\xff\xfe\x00\x00\xff\xff\xff\xff")
@example(b"\x00\x00\x00")
@example(b"\x00a\x00")
def test_any_bytes_are_text_or_a_value_error(data):
    for cut in (False, True):
        try:
            text, encoding = decode_text(data, cut=cut)
        except ValueError as error:
            assert not isinstance(error, UnicodeError)
        else:
            assert "\r" not in text and "\0" not in text
            assert codecs.lookup(encoding)
            text.encode("utf-8")
    try:
        lines = lines_of(data)
    except ValueError as error:
        assert not isinstance(error, UnicodeError)
    else:
        assert all(isinstance(line, Lost) or not set(line) & set("\r\n\0") for line in lines)
        assert all(line.line == number for number, line in enumerate(lines, 1) if isinstance(line, Lost))


@st.composite
def damaged(draw):
    _, data = encoded(*draw(st.sampled_from(CASES)))
    whole = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(whole)))
        whole[start : start + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(whole)


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_damaged_text_is_text_or_a_value_error(data):
    test_any_bytes_are_text_or_a_value_error.hypothesis.inner_test(data)


# Repair

SPOKEN = [line for text in DIALOGUES.values() for line in text.split("\n")]
ACCENTED = [line for line in SPOKEN if sum(char > "\x7f" and char.isalpha() for char in line) > 1]
MISREAD = ["latin-1", "sloppy-windows-1252"]


@pytest.mark.parametrize("language", DIALOGUES)
def test_clean_text_stays_as_it_is(language):
    for line in [*DIALOGUES[language].split("\n"), DIALOGUES[language]]:
        assert repair(line) == line
        assert repair(line.upper()) == line.upper()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "AMANHÃ À TARDE",
        "É…É… «Ã»",
        "Â",
        "¿Qué?",
        "naïve café",
        "Ça “va” ?",
        "50 €",
        "日本",
        "…“”",
        "A LÃ",
        "LÃ.\nIRMÃ",
        "A cor da LÃ é bonita.",
        "FÃ: Eu te amo!",
        "Tenho uma Ã.",
    ],
)
def test_short_clean_text_stays_as_it_is(text):
    assert repair(text) == text


@pytest.mark.parametrize("misread", MISREAD)
@pytest.mark.parametrize("times", [1, 2])
def test_utf_8_read_as_something_else_is_undone(misread, times):
    import ftfy.bad_codecs

    assert ftfy.bad_codecs  # registers sloppy-windows-1252
    assert len(ACCENTED) > 150
    for line in ACCENTED:
        broken = line
        for _ in range(times):
            broken = broken.encode().decode(misread)
        assert repair(broken) == line


@pytest.mark.parametrize(
    "line", ["Il est là", "Voilà", "Ça va déjà ?", "Où ? Là.", "Il pense à\nquoi ?", "Ça, c'est à", "« Là »"]
)
@pytest.mark.parametrize("misread", MISREAD)
def test_a_letter_that_lost_its_no_break_space_is_known(line, misread):
    stripped = re.sub(r"\xa0(?=\W)|\xa0$", "", line.encode().decode(misread))
    assert repair(stripped) == line


@given(st.one_of(st.text(), st.text("ÃÂâ€™œ©¨ é\xa0\x80\x99Ð¿Ñabc"), st.sampled_from(ACCENTED)), st.integers(0, 2))
@settings(deadline=None)
def test_repair_repaired_text_stays_as_it_is(text, times):
    for _ in range(times):
        text = text.encode("utf-8").decode("latin-1")
    once = repair(text)
    assert repair(once) == once


# Real subtitles


@pytest.mark.skipif(not SUBS.is_dir(), reason="the subtitles are not on this machine")
@pytest.mark.parametrize(
    ("name", "encodings"),
    [
        ("ada_zangemann/sk.srt", CENTRAL),
        ("elephants_dream/captions.sv.vtt", "cp1252 cp850"),
        ("elephants_dream/captions.ja.vtt", "cp932 euc_jp"),
        ("elephants_dream/captions.ar.vtt", "cp1256"),
        ("testsuites/pysrt/utf-8.srt", "cp1252 iso8859_15 cp850"),
    ],
)
def test_whole_subtitles(name, encodings):
    text = decode_text((SUBS / name).read_bytes())[0]
    for encoding in encodings.split():
        data = text.encode(encoding, "ignore")
        assert decode_text(data)[0] == data.decode(encoding)


@pytest.mark.skipif(not SUBS.is_dir(), reason="the subtitles are not on this machine")
@pytest.mark.parametrize(
    ("name", "words"),
    [("windows-1250", "što će biti"), ("Russian", "что"), ("Danish", "når")],
)
def test_files_that_other_tools_detect(name, words):
    text = decode_text((SUBS / "testsuites" / "subtitleedit" / f"auto_detect_{name}.srt").read_bytes())[0]
    assert words.split()[0] in text
    assert "\ufffd" not in text


def test_an_old_encoding_is_found_once_for_all_who_ask(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "_priors", lambda *given, _priors=module._priors: asked.append(1) or _priors(*given))
    data = "Die Größe der Tür, für die ich übrigens 27 Mark bezahlt habe.".encode("cp1252")
    assert {decode_text(data, cut=cut)[1] for cut in (True, False, True)} == {"cp1252"}
    assert len(asked) == 1
    nothing = bytes(random.Random(3).choices(b"a\x80\xfe\x8fb\xff\x8f\x9d \x81\x8d\x90\xa0\xad", k=300))
    for _ in range(2):
        with pytest.raises(ValueError, match="no known encoding"):
            decode_text(nothing)
