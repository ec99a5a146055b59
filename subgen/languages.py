"""Language codes, as tags of media and settings spell them."""

from __future__ import annotations

import re

_ISO_639_1 = """
aa aar, ab abk, ae ave, af afr, ak aka, am amh, an arg, ar ara arb, as asm, av ava, ay aym, az aze, ba bak,
be bel, bg bul, bi bis, bm bam, bn ben, bo bod tib, br bre, bs bos, ca cat, ce che, ch cha, co cos, cr cre,
cs ces cze, cu chu, cv chv, cy cym wel, da dan, de deu ger, dv div, dz dzo, ee ewe, el ell gre, en eng, eo
epo, es spa, et est ekk, eu eus baq, fa fas per pes, ff ful, fi fin, fj fij, fo fao, fr fra fre, fy fry, ga
gle, gd gla, gl glg, gn grn, gu guj, gv glv, ha hau, he heb iw, hi hin, ho hmo, hr hrv scr, ht hat, hu hun,
hy hye arm, hz her, ia ina, id ind in, ie ile, ig ibo, ii iii, ik ipk, io ido, is isl ice, it ita, iu iku,
ja jpn, jv jav jw, ka kat geo, kg kon, ki kik, kj kua, kk kaz, kl kal, km khm, kn kan, ko kor, kr kau, ks
kas, ku kur, kv kom, kw cor, ky kir, la lat, lb ltz, lg lug, li lim, ln lin, lo lao, lt lit, lu lub, lv lav
lvs, mg mlg, mh mah, mi mri mao, mk mkd mac, ml mal, mn mon, mr mar, ms msa may zsm, mt mlt, my mya bur, na
nau, nb nob, nd nde, ne nep, ng ndo, nl nld dut, nn nno, no nor, nr nbl, nv nav, ny nya, oc oci, oj oji, om
orm, or ori, os oss, pa pan, pi pli, pl pol, ps pus, pt por, qu que, rm roh, rn run, ro ron rum mol mo, ru
rus, rw kin, sa san, sc srd, sd snd, se sme, sg sag, si sin, sk slk slo, sl slv, sm smo, sn sna, so som, sq
sqi alb, sr srp scc, ss ssw, st sot, su sun, sv swe, sw swa swh, ta tam, te tel, tg tgk, th tha, ti tir, tk
tuk, tl tgl, tn tsn, to ton, tr tur, ts tso, tt tat, tw twi, ty tah, ug uig, uk ukr, ur urd, uz uzb, ve ven,
vi vie, vo vol, wa wln, wo wol, xh xho, yi yid ji, yo yor, za zha, zh zho chi cmn, zu zul
"""
"""ISO 639-1, then codes that mean the same: 639-2/T, 639-2/B, the standard form in 639-3, old ones."""

_TO_639_1 = {code: row.split()[0] for row in _ISO_639_1.split(",") for code in row.split()}
_SAYS_NOTHING = re.compile(r"und|unk|mis|mul|zxx|q[a-t][a-z]")
"""Undetermined, unknown, uncoded, several, none; and what ISO 639-2 leaves to local use, qaa to qtz."""


def language_of(tag: str) -> str | None:
    """A language tag (`eng`, `ger`, `pt-BR`, `zh_Hant`) as ISO 639-1, or 639-3 where it has no such code.

    None for a tag that is empty, says "undetermined", "several" or "none", or is no code at all.
    """
    code = re.split(r"[-_.@]", tag.strip().lower(), maxsplit=1)[0]
    if code in _TO_639_1:
        return _TO_639_1[code]
    return code if re.fullmatch(r"[a-z]{3}", code) and not _SAYS_NOTHING.fullmatch(code) else None
