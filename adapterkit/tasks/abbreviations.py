"""Abbreviations that end in a full stop, for sentence splitting of biomedical English."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


ALWAYS = frozenset(
    _words("""
    dr prof mr mrs ms st e.g eg i.e cf vs viz approx ca resp figs refs eqs nos vols
    fig ref eq tab suppl sp spp subsp ssp var cv str serov gen dept univ assoc
""")
)
"""Never end a sentence (titles, "e.g.", "Fig.", "sp.")."""

BEFORE_NUMBER = frozenset(_words("no nr vol p pp ch sec art chap sect"))
"""End no sentence where a number follows ("No. 5", "p. 12")."""

UNLESS_OPENER = frozenset(
    _words("""
    al etc inc ltd co corp jr sr ph.d m.d u.s u.k a.m p.m i.v i.p i.m s.c p.o i.c.v i.a i.t
    b.i.d t.i.d q.i.d q.d b.w ed eds wt mol min max avg no temp conc
    jan feb mar apr jun jul aug sep sept oct nov dec
""")
)
"""End a sentence only where one of `OPENERS` follows ("et al. The ...", "given i.v. We ...")."""

OPENERS = frozenset(
    _words("""
    A After All Although Among An And As At Because Before Both But By Conclusion Conclusions
    Despite During Each Finally Five For Four From Furthermore Here However If In It Its Moreover
    Most Nevertheless No None On One Only Our Overall Patients Results Secondly Several She He
    Since Six Some Such Ten That The Their Then There Therefore These They This Those Three Thus
    To Two Under Unlike Using We What When Whereas While With Methods Objective Background
""")
)
"""Capitalised words with which sentences begin far more often than names do."""
