"""A question to an answer, as far as this server is the authority for it. Pure.

Source: RFC 1034, 1035, 2308 (negative answers), 6891 (EDNS); CoreDNS for the SOA's figures and the extra names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from dnslib import (
    AAAA,
    CLASS,
    CNAME,
    EDNS0,
    NS,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSHeader,
    DNSQuestion,
    DNSRecord,
)

from tiphys.dns.records import SPEC_VERSION, Records, Zone, reverse_address

TTL_S = 5
"""As CoreDNS' kubernetes plugin; short, for what it says changes as pods do."""
LARGEST_UDP = 1232
"""Bytes that pass every path unfragmented (DNS flag day 2020)."""
_SMALLEST_UDP = 512
_IN = CLASS.IN
_LONGEST_CHAIN = 8
_ANY = QTYPE.ANY
_ANY_CLASS = 255


@dataclass(slots=True)
class Answer:
    """What goes into the reply."""

    code: int = RCODE.NOERROR
    answers: list[RR] = field(default_factory=list)
    authority: list[RR] = field(default_factory=list)
    additional: list[RR] = field(default_factory=list)
    elsewhere: str = ""
    """An alias that leads out of the cluster: whoever has an upstream completes the answer."""


class Authority:
    """Answers for the cluster domain and for the addresses it knows."""

    def __init__(self, zone: Zone, domain: str, dns_ip: str = "") -> None:
        self._zone = zone
        self._domain = domain.strip(".").lower()
        self._suffix = f".{self._domain}"
        self._dns_ip = dns_ip

    def answer(self, name: str, kind: int) -> Answer | None:
        """`name` without its last dot. None: not ours to say."""
        lower = name.lower()
        if lower == self._domain or lower.endswith(self._suffix):
            return self._inside(lower, name, kind)
        address = reverse_address(lower)
        found = self._zone.names_of(address) if address else ()
        if not found:
            return None
        targets = [RR(name, QTYPE.PTR, ttl=TTL_S, rdata=PTR(self._absolute(target))) for target in found]
        return Answer(answers=targets) if kind in (QTYPE.PTR, _ANY) else self._negative(RCODE.NOERROR)

    def _inside(self, lower: str, asked: str, kind: int) -> Answer:
        relative = lower[: -len(self._domain)].rstrip(".")
        special = self._special(relative, asked, kind)
        if special is not None:
            return special
        answer = Answer()
        records = self._zone.find(relative)
        for _ in range(_LONGEST_CHAIN):
            if records is None:
                break
            if not records.cname:
                answer.answers += self._records(asked, records, kind)
                if kind == QTYPE.SRV:
                    self._add_targets(answer, records)
                break
            answer.answers.append(RR(asked, QTYPE.CNAME, ttl=TTL_S, rdata=CNAME(records.cname)))
            if kind in (QTYPE.CNAME, _ANY):
                break
            asked = records.cname
            if not asked.endswith(self._suffix):
                answer.elsewhere = asked
                break
            records = self._zone.find(asked.removesuffix(self._suffix))
        if answer.answers:
            return answer
        return self._negative(RCODE.NXDOMAIN if records is None else RCODE.NOERROR)

    def _special(self, relative: str, asked: str, kind: int) -> Answer | None:
        """Names that no object stands behind."""
        if relative == "" and kind in (QTYPE.SOA, _ANY):
            return Answer(answers=[self._soa()])
        if relative == "" and kind == QTYPE.NS:
            answer = Answer(answers=[RR(asked, QTYPE.NS, ttl=TTL_S, rdata=NS(self._absolute("ns.dns")))])
            if self._dns_ip:
                answer.additional.append(RR(self._absolute("ns.dns"), QTYPE.A, ttl=TTL_S, rdata=A(self._dns_ip)))
            return answer
        if relative == "dns-version":
            version = RR(asked, QTYPE.TXT, ttl=TTL_S, rdata=TXT(SPEC_VERSION))
            return Answer(answers=[version]) if kind in (QTYPE.TXT, _ANY) else self._negative(RCODE.NOERROR)
        if relative == "ns.dns" and self._dns_ip:
            address = RR(asked, QTYPE.A, ttl=TTL_S, rdata=A(self._dns_ip))
            return Answer(answers=[address]) if kind in (QTYPE.A, _ANY) else self._negative(RCODE.NOERROR)
        return None

    def _records(self, asked: str, records: Records, kind: int) -> list[RR]:
        found = []
        if kind in (QTYPE.A, QTYPE.AAAA, _ANY):
            found += [rr for rr in _address_records(asked, records.addresses) if kind in (rr.rtype, _ANY)]
        if kind in (QTYPE.SRV, _ANY):
            weight = 100 // len(records.srv) if records.srv else 0
            found += [
                RR(asked, QTYPE.SRV, ttl=TTL_S, rdata=SRV(0, max(1, weight), entry.port, self._absolute(entry.target)))
                for entry in records.srv
            ]
        return found

    def _add_targets(self, answer: Answer, records: Records) -> None:
        """The addresses of SRV targets, which every client asks for next."""
        for target in dict.fromkeys(entry.target for entry in records.srv):
            found = self._zone.find(target)
            answer.additional += _address_records(self._absolute(target), found.addresses if found else ())

    def _negative(self, code: int) -> Answer:
        return Answer(code=code, authority=[self._soa()])

    def _soa(self) -> RR:
        # A serial that never moves would be wrong for secondaries; nobody transfers this zone.
        times = (1, 7200, 1800, 86400, TTL_S)
        rdata = SOA(self._absolute("ns.dns"), self._absolute("hostmaster"), times)
        return RR(self._domain, QTYPE.SOA, ttl=TTL_S, rdata=rdata)

    def _absolute(self, relative: str) -> str:
        return f"{relative}.{self._domain}" if relative else self._domain


def _address_records(name: str, addresses: Sequence[str]) -> list[RR]:
    found = []
    for text in addresses:
        if ipaddress.ip_address(text).version == 4:
            found.append(RR(name, QTYPE.A, ttl=TTL_S, rdata=A(text)))
        else:
            found.append(RR(name, QTYPE.AAAA, ttl=TTL_S, rdata=AAAA(text)))
    return found


def variants(query: DNSRecord, answer: Answer, *, stream: bool) -> list[bytes]:
    """The reply to `query` as bytes, once per rotation of its addresses, so that clients that take the first one
    spread. Cut to what the client can take (`TC` tells it to come back over TCP)."""
    first = [rr for rr in answer.answers if rr.rtype == QTYPE.CNAME]
    rest = [rr for rr in answer.answers if rr.rtype != QTYPE.CNAME]
    limit = 0xFFFF if stream else _udp_limit(query)
    packed = []
    for turn in range(min(len(rest), 8) or 1):
        turned = first + rest[turn:] + rest[:turn]
        packed.append(_fitted(query, answer, turned, limit))
    return packed


def error(query: DNSRecord, code: int) -> bytes:
    """A reply that says only what went wrong."""
    return _packed(query, Answer(code=code), [], [], authoritative=False)


def refused(query: DNSRecord, question: DNSQuestion) -> bytes | None:
    """The reply to what this server does not do: other versions of EDNS (RFC 6891), other classes than the internet's,
    whole zones. None for all else."""
    if any(rr.rtype == QTYPE.OPT and (rr.ttl >> 16) & 0xFF for rr in query.ar):
        reply = DNSRecord(DNSHeader(id=query.header.id, qr=1, rd=query.header.rd, ra=1), q=question)
        # The upper bits of the code 16, BADVERS, are in the OPT record.
        reply.add_ar(EDNS0(udp_len=LARGEST_UDP, ext_rcode=1))
        return bytes(reply.pack())
    if question.qclass not in (_IN, _ANY_CLASS) or question.qtype in (QTYPE.AXFR, QTYPE.IXFR):
        return error(query, RCODE.REFUSED)
    return None


def bare_error(identity: bytes, code: int) -> bytes:
    """The reply to what could not be read."""
    return bytes(identity[:2]) + bytes((0x80, code)) + bytes(8)


def _udp_limit(query: DNSRecord) -> int:
    sizes = [rr.rclass for rr in query.ar if rr.rtype == QTYPE.OPT]
    return min(max(sizes[0], _SMALLEST_UDP), LARGEST_UDP) if sizes else _SMALLEST_UDP


def _fitted(query: DNSRecord, answer: Answer, answers: list[RR], limit: int) -> bytes:
    whole = _packed(query, answer, answers, answer.additional)
    if len(whole) <= limit:
        return whole
    lean = _packed(query, answer, answers, [])
    if len(lean) <= limit:
        return lean
    low, high = 0, len(answers)
    best = _packed(query, answer, [], [], truncated=True)
    while low < high:
        middle = (low + high + 1) // 2
        part = _packed(query, answer, answers[:middle], [], truncated=True)
        if len(part) <= limit:
            low, best = middle, part
        else:
            high = middle - 1
    return best


def _packed(
    query: DNSRecord,
    answer: Answer,
    answers: list[RR],
    additional: list[RR],
    *,
    truncated: bool = False,
    authoritative: bool = True,
) -> bytes:
    header = DNSHeader(
        id=query.header.id, qr=1, aa=int(authoritative), rd=query.header.rd, ra=1, tc=int(truncated), rcode=answer.code
    )
    questions = [DNSQuestion(q.qname, q.qtype, q.qclass) for q in query.questions]
    extra = list(additional)
    if any(rr.rtype == QTYPE.OPT for rr in query.ar):
        extra.append(EDNS0(udp_len=LARGEST_UDP))
    record = DNSRecord(header, questions=questions, rr=answers, auth=answer.authority, ar=extra)
    return bytes(record.pack())
