"""The versions of a film are known by their names, whatever tags they bear and in whatever folders they lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2sbot.text.films import film_of


@pytest.mark.parametrize(
    ("name", "film"),
    [
        ("Film.srt", "Film"),
        ("Film.en.srt", "Film"),
        ("Film.eng.ass", "Film"),
        ("Film.ger.forced.ass", "Film"),
        ("Film.pt-BR.vtt", "Film"),
        ("Film.en-ZA.vtt", "Film"),
        ("Film.zh_Hant.srt", "Film"),
        ("Film.es-419.srt", "Film"),
        ("Film_en.ass", "Film"),
        ("Film_eng.ass", "Film"),
        ("Film-de.vtt", "Film"),
        ("Film.v2.srt", "Film"),
        ("Film.en.v2.srt", "Film"),
        ("Film.en.forced.srt", "Film"),
        ("Film.sdh.EN.SRT", "Film"),
        ("Film.en[cc].srt", "Film"),
        ("Film [English] (SDH).srt", "Film"),
        ("Film.English.srt", "Film"),
        ("Film.Deutsch.srt", "Film"),
        ("Film.chn+eng.ass", "Film"),
        ("Cafe\u0301.Franc\u0327ais.srt", "Caf\u00e9"),
        ("Film.简体&英文.ass", "Film"),
        ("Film.EnglishSDH.srt", "Film"),
        ("Film.en.720p.srt", "Film"),
        ("Film_512kb.mp4.srt", "Film"),
        ("Film.1994.1080p.BluRay.x264-GROUP.en.srt", "Film.1994"),
        ("Film.1994.720p.WEB-DL.srt", "Film.1994"),
        ("Film.CD1", "Film"),
        ("Film.cd2.srt", "Film"),
        ("Film CD 2.srt", "Film"),
        ("Film.disc1.en.srt", "Film"),
        ("Film.de.srt.gz", "Film"),
        ("Film (1994).de.srt", "Film (1994)"),
        ("Film (1994).srt", "Film (1994)"),
        ("Mr. Who.srt", "Mr. Who"),
        ("Mr. Who", "Mr. Who"),
        ("en/Film.srt", "Film"),
        ("German/Film.srt", "Film"),
        ("north/eng/Film.srt", "north/Film"),
        ("SrtEN/Film_512kb.mp4.srt", "Film"),
        ("SrtCN/Film.srt", "Film"),
        ("Ass/Film.chn+eng.ass", "Film"),
        ("SrtEN.zip/Film.srt", "Film"),
        ("subs/Film.srt", "Film"),
        ("Film/English.srt", "Film"),
        ("Film/eng.srt", "Film"),
        ("Film/Subs/German.forced.srt", "Film"),
        ("north/Film.en.srt", "north/Film"),
        ("films.zip/north/Film.en.srt", "films.zip/north/Film"),
        ("xml/en/1994/110912/1.xml.gz", "1994/110912"),
        ("xml/de/1994/110912/22.xml", "1994/110912"),
        ("OpenSubtitles/raw/en/1994/110912/1.xml", "1994/110912"),
        ("2.xml.gz", "2"),
        ("1994/110912/1.txt", "1994/110912/1"),
        ("en.srt", "."),
        (".srt", "."),
        ("...", "..."),
        ("", "."),
    ],
)
def test_versions_of_a_film_have_one_name(name, film):
    assert film_of(name) == film


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Show.S01E01.en.srt", "Show.S01E02.en.srt"),
        ("Show.S01.E01.srt", "Show.S01.E02.srt"),
        ("Show.1x01.srt", "Show.1x02.srt"),
        ("talk.101.srt", "talk.102.srt"),
        ("Film.part1.srt", "Film.part2.srt"),
        ("Mad.Max.srt", "Mad.Dog.srt"),
        ("the-dog.srt", "the-cat.srt"),
        ("the cat.srt", "the may.srt"),
        ("north/Film.srt", "south/Film.srt"),
        ("film A/English.srt", "film B/English.srt"),
        ("film A/subs/English.srt", "film B/subs/English.srt"),
        ("xml/en/1994/110912/1.xml.gz", "xml/en/1994/110913/1.xml.gz"),
        ("xml/en/1994/110912/1.xml.gz", "xml/en/1995/110912/1.xml.gz"),
    ],
)
def test_other_films_have_other_names(one, other):
    assert film_of(one) != film_of(other)


STEM = st.text("qxQX019 ()'", min_size=4, max_size=12).filter(
    lambda stem: stem[:1] not in " )" and stem.strip(" ()") and stem[-1] not in " ("
)
LANGUAGE = st.sampled_from(["", ".en", ".de", ".eng", ".pt-BR", ".EN", "_fr", " (English)", "[ger]"])
VERSION = st.sampled_from(["", ".v2", ".forced", ".sdh", ".720p", "[cc]", ".cd1", "_512kb.mp4"])
ENDING = st.sampled_from([".srt", ".ass", ".vtt", ".SRT", ".sub", ".xml", ".srt.gz", ".ttml"])
FOLDER = st.sampled_from(["", "north/", "a.zip/x.y/"])
BETWEEN = st.sampled_from(["", "en/", "SrtEN/", "subs/German/"])
TAGS = st.tuples(BETWEEN, LANGUAGE, VERSION, ENDING)


@given(STEM, FOLDER, TAGS, TAGS)
def test_a_film_keeps_its_name_in_all_languages_versions_and_formats(stem, folder, one, other):
    films = [film_of(folder + between + stem + "".join(tags)) for between, *tags in (one, other)]
    assert films[0] == films[1]
    assert (folder + stem).startswith(films[0])
    assert (folder + stem)[len(films[0]) :].strip(" ()") == ""


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_name_has_a_film(name):
    assert film_of(name)


def test_a_name_of_many_tags_takes_no_time():
    assert film_of("Film" + ".en" * 20_000 + ".srt") == "Film"
