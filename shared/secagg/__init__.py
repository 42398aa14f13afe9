"""Secure aggregation: a coordinator learns the sum over a cohort and nothing else. Needs numpy and cryptography only.

What is hidden, from whom, and why
----------------------------------
*Claim.* A coordinator that lies, replays and equivocates at will, and up to ``c`` institutions of a cohort that work
with it, learn of the others' vectors in a round nothing but **one** sum, over all vectors of the others in one set,
which holds at least two of them.

*Assumptions.* (1) Honest institutions pin the same roster and alone hold their identities in it. (2) At most ``c``
members of a cohort are corrupted; ``c`` is each honest institution's own policy, with which it checks ``2t > m + c`` for
a cohort of ``m`` and refuses sets below ``max(t, c + 2)``. (3) An honest institution's state is durable and never turned
back: what it signed and answered stays so. (4) Ed25519 is unforgeable, X25519 with HKDF gives pair keys that look
random, AES-256-CTR is a pseudo-random generator, AES-256-GCM is authenticated encryption, SHA-256 is collision
resistant and hides the 256-bit seeds it commits to.

*One context, one cohort.* Every signature, derivation and seal binds the context: run, epoch, round, roster, the epoch's
keys, cohort, thresholds, graph. Institutions that are shown different plans derive unrelated seeds, and what they sign and seal for one is
worth nothing in another. An institution masks one plan a round. So take one context and its cohort ``C``, ``m = |C|``.

*At most two views.* Shares are given for a surviving set only. An honest institution signs ``C`` once (in Train) and
at most one smaller set (in Agree), ever. ``C`` needs all ``m`` signatures, a smaller set needs ``t``. If two smaller sets
had them, the honest, at least ``m − c``, signed at most one each and the corrupted both: ``2t ≤ (m − c) + 2c = m + c``,
which assumption 2 excludes. So shares are ever given for two sets at most: ``C`` and one ``U``.

*One of the two opens.* A seed needs ``t`` shares. In view ``C`` holders give shares of the self-mask seeds of ``C`` and of
no pair seed; in view ``U`` of the self-mask seeds of ``U`` and of the pair seeds between ``U`` and the lost ``C ∖ U``. An honest
holder answers once a round. If ``t`` shares came together in each view, again ``2t ≤ m + c``. So the shares of one view
are fewer than ``t``, the corrupted's included, and independent of what they share. What is open is then

- in view ``C``: every self-mask seed and no pair seed of two honest ones. The masks of honest pairs remain, and cancel
  only in the sum over all honest vectors of ``C``, which are at least ``m − c ≥ 2``;
- in view ``U``: for an honest member of ``U`` its self-mask seed and its seeds with the lost. The seeds between honest members
  of ``U`` remain, and cancel only in the sum over all of these, at least ``|U| − c ≥ 2``. Of an honest lost one, whose
  vector may have come late, the self-mask seed remains: its vector stays uniform.

The agreement alone does not suffice: with a lower threshold both views open. The threshold alone does not either:
without the agreement a coordinator shows every holder another set ``{v, w, w'}``, so that each pair seed of ``v`` is kept
back by two holders only and its self-mask seed by none (``tests/shared/secagg/attacks/test_two_views.py`` does it). An
institution that has signed ``U`` gives no shares for ``C`` any more; the argument does not need that.

*Sparse graph.* All of this is for the complete graph, where the holders of all seeds are the same. Above 64 institutions
they are not, and "one of the two opens" is false: ``graph.py`` says how a victim would be opened, and why one view alone, in
which the survivors hang together, keeps it closed.

*Fragments.* With them the sum is one sum for each cell of coordinates, over those of the set who train it: at least
``smallest_cohort``, which the plan names and each institution's policy bounds from below (``fragments.py``).

*Other rounds.* Pair keys are stepped and the X25519 key is dropped when a round is masked. A state stolen later opens no
earlier round. It does open the round it was stolen in, and with the traffic later ones of the epoch.

*Not claimed.* That an honest institution's vector is in the sum (a coordinator may leave it out), that corrupted ones send
honest updates, that the sum itself tells little (that is differential privacy's part), or that a round completes: the
coordinator or more than ``m − t`` institutions can always stop it. A void round is trained anew, because two sums over
nearly the same set of the same updates would give one of them away.
"""
