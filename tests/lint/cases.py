"""
Orchestrations as people write them by mistake, each beside the same thing done right.

A line that must be found ends with ``#! CODE``; no other line of any case may be. `PRELUDE` stands in front of each.
"""

from __future__ import annotations

from textwrap import dedent

from attrs import field, frozen


PRELUDE = """\
from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
registry = Registry()
@registry.activity
def charge(ctx: ActivityContext, order: str) -> str:
    import time, random
    time.sleep(random.random())
    return order
"""


@frozen
class Case:
    """One mistake, and how it should be written."""

    code: str
    title: str
    wrong: str = field(converter=dedent)
    right: str = field(converter=dedent)


CASES = (
    Case(
        "DX101",
        "datetime.now",
        """
        from datetime import datetime
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(1)
            return datetime.now().isoformat()  #! DX101
        """,
        """
        from datetime import datetime, UTC
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_timer(1)
            epoch = datetime.fromtimestamp(0, UTC)
            return (ctx.utc_now() - epoch).isoformat()
        """,
    ),
    Case(
        "DX101",
        "a property as the argument of what is scheduled",
        """
        import time
        class Order:
            @property
            def age(self) -> float:
                return time.time()  #! DX101
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
            yield from ctx.schedule_timer(order.age)
        """,
        """
        class Order:
            @property
            def age(self) -> float:
                return 1.0
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
            yield from ctx.schedule_timer(order.age)
        """,
    ),
    Case(
        "DX101",
        "renamed imports, three calls down",
        """
        import time as t
        from datetime import datetime as dt, date
        @registry.orchestration(name="Fulfil", version="2.0.0")
        def fulfil(ctx, order):
            yield from ctx.schedule_timer(price(order))
        def price(order):
            return now() + days(order)
        def now():
            return t.time()  #! DX101
        def days(order):
            clock = t.monotonic  #! DX101
            return clock() - (date.today() - dt.utcnow().date()).days  #! DX101
        """,
        """
        @registry.orchestration(name="Fulfil", version="2.0.0")
        def fulfil(ctx, order):
            yield from ctx.schedule_timer(price(ctx, order))
        def price(ctx, order):
            return ctx.utc_now().hour
        """,
    ),
    Case(
        "DX101",
        "a default argument and a module's constant",
        """
        import time
        STARTED = time.time()
        @registry.orchestration
        def fulfil(ctx, since=time.time()):  #! DX101
            yield ctx.schedule_timer(STARTED - since)  #! DX101
        """,
        """
        STARTED = 1_700_000_000
        @registry.orchestration
        def fulfil(ctx, since=0):
            yield ctx.schedule_timer(STARTED - since)
        """,
    ),
    Case(
        "DX101",
        "a lambda, a table, a decorator, a property, a method of a base class",
        """
        import time, functools
        now = lambda: time.time()  #! DX101
        def by_clock(ctx, order):
            yield from ctx.schedule_timer(time.time())  #! DX101
        TABLE = {"clock": by_clock}
        def timed(fn):
            @functools.wraps(fn)
            def wrapper(*arguments):
                started = time.perf_counter()  #! DX101
                return fn(*arguments)
            return wrapper
        @timed
        def price(order):
            return 5
        class Base:
            def age(self):
                return time.time()  #! DX101
        class Order(Base):
            @property
            def is_old(self):
                return time.time() > 5  #! DX101
        @registry.orchestration
        def fulfil(ctx, order: Order):
            yield from TABLE["clock"](ctx, now())
            yield from ctx.schedule_timer(price(order) + order.age())
            return order.is_old
        """,
        """
        import time, contextlib
        measured = []
        def registered(fn):
            measured.append(fn)
            return fn
        @registered
        def price(order):
            return 5
        class Order:
            def age(self):
                return 5
        class Clock:
            def age(self):
                return time.time()
        @contextlib.contextmanager
        def status(ctx, text):
            ctx.set_custom_status(text)
            try:
                yield
            finally:
                ctx.reset_custom_status()
        @registry.orchestration
        def fulfil(ctx, order: Order):
            with status(ctx, "waiting"):
                yield from ctx.schedule_timer(price(order) + order.age())
        @registry.orchestration
        def refuse(ctx):
            raise ValueError("always")
            yield
        """,
    ),
    Case(
        "DX102",
        "the global generator, one of one's own, and a callback",
        """
        import random, secrets
        from random import choice
        rng = random.Random(7)
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, names: list[str]) -> Orchestration[str]:
            names.sort(key=lambda name: random.random())  #! DX102
            secrets.token_hex()  #! DX102
            rng.shuffle(names)  #! DX102
            random.Random().shuffle(names)  #! DX102
            names.sort(key=random.random)  #! DX102
            yield ctx.schedule_timer(1)
            return choice(names)  #! DX102
        """,
        """
        import random
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, names: list[str]) -> Orchestration[str]:
            ctx.random.shuffle(names)
            rng = random.Random(names[0])
            rng.shuffle(names)
            yield ctx.schedule_timer(1)
            return pick(ctx.random, names)
        def pick(generator: random.Random, names):
            import numpy, secrets
            draws = numpy.random.default_rng(7).integers(5, size=3)
            return secrets.compare_digest(generator.choice(names), str(draws))
        """,
    ),
    Case(
        "DX103",
        "uuid4",
        """
        import uuid
        from uuid import uuid4
        @registry.orchestration
        def fulfil(ctx, order):
            key = str(uuid4())  #! DX103
            yield ctx.schedule_activity(charge, f"{key} {uuid.uuid1()}")  #! DX103
        """,
        """
        import uuid
        @registry.orchestration
        def fulfil(ctx, order):
            key = uuid.uuid5(uuid.NAMESPACE_URL, ctx.new_guid())
            yield ctx.schedule_activity(charge, str(key))
        """,
    ),
    Case(
        "DX103",
        "fields that make themselves up",
        """
        import uuid, datetime
        from attrs import Factory, field, frozen
        from dataclasses import dataclass, field as data_field
        @frozen
        class Parcel:
            id: uuid.UUID = field(factory=uuid.uuid4)
        @dataclass
        class Letter:
            sent: datetime.datetime = data_field(default_factory=lambda: datetime.datetime.now())
        class Postcard(Letter):
            text: str = ""
        @registry.orchestration
        def fulfil(ctx, order):
            parcel = Parcel()  #! DX103
            letter = Postcard()  #! DX101
            yield ctx.schedule_activity(charge, [parcel, letter])
        """,
        """
        import uuid
        from attrs import Factory, field, frozen
        @frozen
        class Parcel:
            id: uuid.UUID
            items: list[str] = field(factory=list)
        @registry.orchestration
        def fulfil(ctx, order):
            yield ctx.schedule_activity(charge, Parcel(uuid.UUID(ctx.new_guid())))
        """,
    ),
    Case(
        "DX103",
        "fields that make themselves up, unless they are given",
        """
        import uuid
        from dataclasses import dataclass, field
        @dataclass
        class Base:
            sku: str
            id: uuid.UUID = field(default_factory=uuid.uuid4)
        @dataclass
        class Parcel(Base):
            text: str = ""
        class Label:
            id = uuid.uuid4()
            def __init__(self, text):
                self.text = text
        @registry.orchestration
        def fulfil(ctx, order):
            yield ctx.schedule_activity(charge, [Parcel(order), Parcel(order, text="a")])  #! DX103
            yield ctx.schedule_activity(charge, Label("a"))  #! DX103
        """,
        """
        import uuid
        from dataclasses import dataclass, field
        @dataclass
        class Base:
            sku: str
            id: uuid.UUID = field(default_factory=uuid.uuid4)
        @dataclass
        class Parcel(Base):
            text: str = ""
        @registry.orchestration
        def fulfil(ctx, order):
            key = uuid.UUID(ctx.new_guid())
            yield ctx.schedule_activity(charge, [Parcel(order, key), Parcel(order, id=key), Parcel(**order)])
        """,
    ),
    Case(
        "DX104",
        "environment variables, host and arguments",
        """
        import os, sys, socket, platform
        from os import environ, getenv
        REGION = os.environ["REGION"]
        @registry.orchestration
        def fulfil(ctx, order):
            if environ.get("FAST") or getenv("FAST"):  #! DX104
                yield ctx.schedule_timer(len(os.environ["A"]))  #! DX104
            yield ctx.schedule_activity(charge, socket.gethostname())  #! DX104
            yield ctx.schedule_activity(charge, platform.system())  #! DX104
            return [REGION, sys.argv]  #! DX104
        """,
        """
        import os
        FLAGS = {"fast": True}
        @registry.orchestration
        def fulfil(ctx, settings):
            if settings["fast"] or FLAGS["fast"]:
                yield ctx.schedule_activity(charge, os.path.join("a", "b"))
        """,
    ),
    Case(
        "DX104",
        "attributes of classes that were computed at import",
        """
        import os
        class Settings:
            region = os.environ["REGION"]
            def __init__(self):
                self.is_fast = bool(os.getenv("FAST"))
        class Inherited(Settings):
            pass
        SETTINGS = Settings()
        @registry.orchestration
        def fulfil(ctx, order):
            if SETTINGS.is_fast:  #! DX104
                yield ctx.schedule_activity(charge, Inherited.region)  #! DX104
        """,
        """
        import os
        from dataclasses import dataclass
        class Settings:
            region = os.environ["REGION"]
        class Fixed(Settings):
            region = "north"
        @dataclass
        class Order:
            host: str = os.environ["HOST"]
        @registry.orchestration
        def fulfil(ctx, order: Order):
            yield ctx.schedule_activity(charge, Fixed.region + order.host)
        """,
    ),
    Case(
        "DX105",
        "files, requests, databases, processes",
        """
        import requests, subprocess, sqlite3
        from pathlib import Path
        from urllib.request import urlopen
        from duroxide import Client
        session = requests.Session()
        @registry.orchestration
        def fulfil(ctx, order):
            with open("rates.json") as file:  #! DX105
                rates = file.read()
            requests.get("https://example.org")  #! DX105
            session.post("https://example.org")  #! DX105
            path = Path("rates") / "eur"
            Path("rates").read_text()  #! DX105
            subprocess.run(["ls"])  #! DX105
            sqlite3.connect("x.db").execute("select 1")  #! DX105
            Client("sqlite:///x.db").raise_event("a", "b")  #! DX105
            read(Path("rates"))
            yield ctx.schedule_activity(charge, urlopen("https://example.org").read())  #! DX105
        def read(path: Path) -> str:
            return path.read_text() if path.exists() else ""  #! DX105
        """,
        """
        import requests
        from pathlib import Path
        from urllib.parse import urlparse
        @registry.activity
        def rates(ctx, url: str) -> str:
            return requests.get(url).text
        @registry.orchestration
        def fulfil(ctx, order):
            host = urlparse("https://example.org").netloc
            try:
                yield from ctx.schedule_activity(rates, host + Path("a/b").name)
            except requests.RequestException:
                raise requests.ConnectionError("no rates")
        """,
    ),
    Case(
        "DX106",
        "time.sleep",
        """
        import time
        @registry.orchestration
        def fulfil(ctx, order):
            time.sleep(60)  #! DX106
            yield from ctx.schedule_activity(charge, order)
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            yield from ctx.schedule_timer(60)
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX107",
        "a thread pool, a lock, an event loop",
        """
        import asyncio, threading
        from concurrent.futures import ThreadPoolExecutor
        lock = threading.Lock()
        @registry.orchestration
        def fulfil(ctx, orders):
            with ThreadPoolExecutor() as pool:  #! DX107
                results = pool.map(str, orders)
            lock.acquire()  #! DX107
            with lock:  #! DX107
                results = list(results)
            threading.Thread(target=print).start()  #! DX107,DX108
            yield from ctx.schedule_activity(charge, asyncio.run(results))  #! DX107
        """,
        """
        @registry.orchestration
        def fulfil(ctx, orders):
            yield from ctx.join(*(ctx.schedule_activity(charge, order) for order in orders))
        """,
    ),
    Case(
        "DX108",
        "print",
        """
        import sys
        @registry.orchestration
        def fulfil(ctx, order):
            print("charging", order)  #! DX108
            yield from ctx.schedule_activity(charge, order)
            sys.stderr.write("charged")  #! DX108
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            ctx.logger.info("charging %s", order)
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX109",
        "a logger of the module",
        """
        import logging
        log = logging.getLogger(__name__)
        @registry.orchestration
        def fulfil(ctx, order):
            log.info("charging %s", order)  #! DX109
            logging.warning("charging")  #! DX109
            logger = logging.getLogger("shop")
            logger.error("charging")  #! DX109
            yield from ctx.schedule_activity(charge, order)
        """,
        """
        import logging
        log = logging.getLogger(__name__)
        def note(log: logging.Logger, text: str):
            log.info(text)
        @registry.orchestration
        def fulfil(ctx, order):
            logger = ctx.logger
            note(ctx.logger, "begun")
            logger.log(logging.INFO, "charging %s", order)
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX110",
        "hash and id",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            shard = hash(order) % 8  #! DX110
            yield from ctx.schedule_activity(charge, f"{shard} {id(order)}")  #! DX110
        """,
        """
        import hashlib
        @registry.orchestration
        def fulfil(ctx, order):
            shard = hashlib.sha256(order.encode()).digest()[0] % hash(8)
            yield from ctx.schedule_activity(charge, f"{shard}")
        """,
    ),
    Case(
        "DX111",
        "a literal, an annotation, an activity's result, an operator",
        """
        COUNTRIES = {"de", "fr"}
        @registry.activity
        def tags(ctx) -> set[str]: ...
        class Order:
            skus: frozenset[str]
        @registry.orchestration
        def fulfil(ctx, order: Order):
            for country in COUNTRIES:  #! DX111
                yield from ctx.schedule_activity(charge, country)
            for sku in order.skus:  #! DX111
                yield from ctx.schedule_activity(charge, sku)
            found = yield from ctx.schedule_activity(tags)
            actions = [ctx.schedule_activity(charge, tag) for tag in found]  #! DX111
            yield from ctx.join(*actions)
            left = found - {"a"}
            ctx.set_custom_status(f"{left}")  #! DX111
            yield from ctx.schedule_activity(charge, ", ".join(left))  #! DX111
            first = next(iter(left))  #! DX111
            return [left.pop(), first, list(set(actions)), *COUNTRIES]  #! DX111
        """,
        """
        COUNTRIES = {"de", "fr"}
        @registry.activity
        def tags(ctx) -> set[str]: ...
        @registry.orchestration
        def fulfil(ctx, order: dict[str, int]):
            for country in sorted(COUNTRIES):
                yield from ctx.schedule_activity(charge, country)
            for sku in order.keys():
                yield from ctx.schedule_activity(charge, sku)
            found = yield from ctx.schedule_activity(tags)
            biggest = max(len(tag) for tag in found)
            names = {tag.lower() for tag in found}
            names = sorted(names)
            for name in names:
                yield from ctx.schedule_activity(charge, name)
            return [biggest, len(found), "a" in found, {*found, "b"} == found]
        """,
    ),
    Case(
        "DX111",
        "what is around a conversion decides",
        """
        @registry.orchestration
        def fulfil(ctx, tags: set[str]):
            first = list(map(str.upper, tags))[0]  #! DX111
            pairs = dict(enumerate(tags))  #! DX111
            by_tag = {tag: 1 for tag in tags}  #! DX111
            yield from ctx.join(*[ctx.schedule_activity(charge, tag) for tag in tags])  #! DX111
            return [first, pairs, by_tag]
        """,
        """
        @registry.orchestration
        def fulfil(ctx, tags: set[str]):
            names = sorted([tag.upper() for tag in tags]) + sorted(map(str.upper, list(tags)))
            seen = set(filter(None, tags))
            seen.update(tag.lower() for tag in tags)
            letters = {tag[0] for tag in list(tags)}
            longest = max(len(tag) for tag in tuple(tags))
            yield from ctx.schedule_activity(charge, names[0])
            return [any([tag == "a" for tag in tags]), len(list(tags)), longest, sorted(seen), sorted(letters)]
        """,
    ),
    Case(
        "DX112",
        "global, a cache, a counter, a class attribute, a default",
        """
        import itertools
        from collections import defaultdict
        count = 0
        cache = {}
        totals = defaultdict(int)
        ids = itertools.count()
        class Shop:
            orders = 0
        @registry.orchestration
        def fulfil(ctx, order, seen=[]):
            global count
            count += 1  #! DX112
            cache[order] = 1  #! DX112
            cache.setdefault(order, 2)  #! DX112
            totals[order] += 1  #! DX112
            Shop.orders += 1  #! DX112
            seen.append(order)  #! DX112
            yield from ctx.schedule_activity(charge, str(next(ids)))  #! DX112
        """,
        """
        PRICES = {"lamp": 19}
        class Basket:
            def __init__(self):
                self.total = 0
            def add(self, price):
                self.total += price
        @registry.orchestration
        def fulfil(ctx, order):
            cache = {}
            cache[order] = 1
            basket = Basket()
            basket.add(PRICES["lamp"])
            ctx.set_kv_value("total", basket.total)
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX112",
        "a variable of the factory around the orchestration",
        """
        def make():
            seen = []
            count = 0
            @registry.orchestration
            def fulfil(ctx, order):
                nonlocal count
                count += 1  #! DX112
                seen.append(order)  #! DX112
                yield from ctx.schedule_activity(charge, order)
            return fulfil
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            seen = []
            def branch(name):
                yield from ctx.schedule_activity(charge, name)
                seen.append(name)
            yield from ctx.join(branch("a"), branch("b"))
            return seen
        """,
    ),
    Case(
        "DX112",
        "the object whose method is the orchestration",
        """
        class Fulfilment:
            def __init__(self):
                self.seen = []
            def fulfil(self, ctx, order):
                self.order = order  #! DX112
                self.seen.append(order)  #! DX112
                yield from ctx.schedule_activity(charge, self.order)
        class Shipment:
            shipped: dict[str, int] = {}
            def __call__(self, ctx, order):
                self.shipped[order] = 1  #! DX112
                yield from ctx.schedule_activity(charge, order)
        registry.register_orchestration(Fulfilment().fulfil, name="fulfil")
        registry.register_orchestration(Shipment(), name="ship")
        """,
        """
        class Saga:
            def __init__(self, ctx):
                self.ctx = ctx
                self.done = []
            def step(self, order):
                self.done.append((yield from self.ctx.schedule_activity(charge, order)))
        class Fulfilment:
            def __init__(self, cache):
                self.limit = 3
                self.cache = cache
            def fulfil(self, ctx, order):
                saga = Saga(ctx)
                saga.limit = self.limit
                self.cache.update(order)
                yield from saga.step(order)
            @registry.orchestration
            def again(ctx, order: list[str]):
                order.append("x")
                yield from ctx.schedule_activity(charge, order)
        registry.register_orchestration(Fulfilment().fulfil, name="fulfil")
        """,
    ),
    Case(
        "DX113",
        "a module's variable that an activity changes",
        """
        rates = {"eur": 1}
        limit = 10
        @registry.activity
        def load(ctx):
            global limit
            limit = 20
            rates.update(usd=2)
        @registry.orchestration
        def fulfil(ctx, order):
            if order > limit:  #! DX113
                yield from ctx.schedule_activity(load)
            return rates["usd"]  #! DX113
        """,
        """
        RATES = {"eur": 1}
        RATES["usd"] = 2
        @registry.activity
        def load(ctx) -> dict[str, int]:
            rates = dict(RATES)
            rates.update(usd=2)
            return rates
        @registry.orchestration
        def fulfil(ctx, order):
            rates = yield from ctx.schedule_activity(load)
            return rates["usd"] + RATES["eur"]
        """,
    ),
    Case(
        "DX201",
        "async def",
        """
        @registry.orchestration
        async def fulfil(ctx, order):  #! DX201
            return await ctx.schedule_activity(charge, order)
        """,
        """
        @registry.activity
        async def fetch(ctx, url: str) -> str:
            return await get(url)
        @registry.orchestration
        def fulfil(ctx, order):
            return (yield from ctx.schedule_activity(fetch, order))
        """,
    ),
    Case(
        "DX202",
        "no yield at all",
        """
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: str) -> str:  #! DX202
            return ctx.schedule_activity(charge, order)
        """,
        """
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: str) -> Orchestration[str]:
            return pay(ctx, order)
        def pay(ctx: OrchestrationContext, order: str) -> Orchestration[str]:
            return (yield from start(ctx, order))
        def start(ctx: OrchestrationContext, order: str):
            return ctx.schedule_activity(charge, order)
        @registry.orchestration
        def constant(ctx: OrchestrationContext) -> str:
            return "nothing to wait for"
        """,
    ),
    Case(
        "DX203",
        "a forgotten yield",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            ctx.schedule_activity(charge, order)  #! DX203
            ctx.schedule_timer(10)  #! DX203
            unused = ctx.schedule_wait("approved")  #! DX203
            ctx.join(ctx.dequeue_event("a"), ctx.dequeue_event("b"))  #! DX203
            yield from ctx.schedule_activity(charge, order)
            typed: object = ctx.schedule_timer(1)  #! DX203
            ctx.schedule_timer(1) if order else ctx.schedule_timer(2)  #! DX203
            order and ctx.schedule_timer(1)  #! DX203
            remind(order=order, context=ctx)
            return ctx.schedule_activity(charge, order)  #! DX203
        def remind(*, order, context):
            context.schedule_timer(1)  #! DX203
        class Flows:
            @registry.orchestration
            def ship(ctx, order):
                ctx.schedule_timer(1)  #! DX203
                yield from ctx.schedule_activity(charge, order)
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            paid = ctx.schedule_activity(charge, order)
            ctx.schedule_orchestration("Audit", "audit-1")
            yield ctx.schedule_timer(10)
            waits = []
            waits.append(ctx.schedule_wait("approved"))
            yield from ctx.join(paid, *waits)
            order and ctx.set_custom_status("paid")
            typed: object = ctx.schedule_timer(1)
            yield typed
            return (yield from ctx.schedule_activity(charge, order))
        """,
    ),
    Case(
        "DX203",
        "continue_as_new, and on it goes",
        """
        @registry.orchestration
        def poll(ctx, count):
            if count > 3:
                ctx.continue_as_new(count + 1)  #! DX203
            yield from ctx.schedule_timer(10)
        """,
        """
        @registry.orchestration
        def poll(ctx, count):
            if count > 3:
                ctx.continue_as_new(count + 1)
                return
            yield from ctx.schedule_timer(10)
            if count > 2:
                yield ctx.continue_as_new(count + 1)
            try:
                yield from ctx.schedule_timer(10)
            finally:
                count += 1
            if count == 7:
                return ctx.continue_as_new(0)
            ctx.continue_as_new(count + 1)
        """,
    ),
    Case(
        "DX204",
        "yield of a helper",
        """
        def pay(ctx, order):
            yield from ctx.schedule_activity(charge, order)
        @registry.orchestration
        def fulfil(ctx, order):
            yield pay(ctx, order)  #! DX204
            branch = pay(ctx, order)
            yield branch  #! DX204
        """,
        """
        def pay(ctx, order):
            yield from ctx.schedule_activity(charge, order)
        def pages(orders):
            for index in range(0, len(orders), 10):
                yield orders[index : index + 10]
        @registry.orchestration
        def fulfil(ctx, orders):
            for page in pages(orders):
                yield from pay(ctx, page[0])
                yield ctx.join(pay(ctx, page[1]), pay(ctx, page[2]))
        """,
    ),
    Case(
        "DX205",
        "yield of values",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            yield  #! DX205
            yield 5  #! DX205
            yield [ctx.schedule_timer(1), ctx.schedule_timer(2)]  #! DX205
            yield ctx.schedule_timer(1), ctx.schedule_timer(2)  #! DX205
            yield ctx.set_custom_status("paid")  #! DX205
            now = yield ctx.utc_now()  #! DX205
            yield f"{now}"  #! DX205
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            ctx.set_custom_status("paid")
            now = ctx.utc_now()
            yield ctx.join(ctx.schedule_timer(1), ctx.schedule_timer(2))
            yield ctx.get_kv_value_from_instance("a", f"{now}")
        """,
    ),
    Case(
        "DX206",
        "an activity as a function",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            receipt = charge(ctx, order)  #! DX206
            yield from ctx.schedule_activity(charge, receipt)
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            step = ctx.schedule_activity(charge, order)
            yield from ctx.schedule_activity(activity=slow, input=order)
            table = {"charge": charge}
            yield from ctx.schedule_activity(table["charge"], (yield from step))
        def slow(ctx, order):
            import time
            time.sleep(1)
        """,
    ),
    Case(
        "DX207",
        "what only activities have",
        """
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: str):
            if ctx.is_cancelled or ctx.attempt > 1:  #! DX207
                return
            ctx.client.raise_event("a", "b")  #! DX207
            yield from ctx.schedule_activity(charge, order)
        @registry.orchestration
        def ship(ctx: ActivityContext, order: str):  #! DX207
            yield None  #! DX205
        """,
        """
        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: str):
            ctx.logger.info("%s %s", ctx.instance_id, ctx.execution_id)
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX208",
        "except: and BaseException",
        """
        from contextlib import suppress
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            except:  #! DX208
                ctx.set_custom_status("failed")
            try:
                yield from ctx.schedule_activity(charge, order)
            except (ValueError, BaseException) as error:  #! DX208
                ctx.set_custom_status(str(error))
            with suppress(BaseException):  #! DX208
                yield from ctx.schedule_activity(charge, order)
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            except BaseException:
                ctx.set_custom_status("failed")
                raise
            try:
                parsed = int(order)
            except:
                parsed = 0
            try:
                yield from ctx.schedule_activity(charge, str(parsed))
            except Exception as error:
                ctx.set_custom_status(str(error))
        """,
    ),
    Case(
        "DX209",
        "except Exception: pass",
        """
        import contextlib
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            except Exception:  #! DX209
                pass
            with contextlib.suppress(Exception):  #! DX209
                yield from ctx.schedule_activity(charge, order)
        """,
        """
        from duroxide import ActivityFailed
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            except ActivityFailed:
                pass
            except Exception as error:
                return str(error)
        """,
    ),
    Case(
        "DX210",
        "waiting in finally",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            finally:
                yield from ctx.schedule_activity(charge, "refund")  #! DX210
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            try:
                yield from ctx.schedule_activity(charge, order)
            except ValueError:
                yield from ctx.schedule_activity(charge, "refund")
                raise
            finally:
                ctx.logger.info("done")
        """,
    ),
    Case(
        "DX211",
        "a helper that is called but not run",
        """
        def pay(ctx, order):
            yield from ctx.schedule_activity(charge, order)
        class Steps:
            def __init__(self, ctx):
                self.ctx = ctx
            def ship(self, order):
                yield self.ctx.schedule_activity(charge, order)
        @registry.orchestration
        def fulfil(ctx, order):
            pay(ctx, order)  #! DX211
            Steps(ctx).ship(order)  #! DX211
            later = pay(ctx, order)  #! DX211
            yield from ctx.schedule_timer(1)
            return pay(ctx, order)  #! DX211
        """,
        """
        def pay(ctx, order):
            yield from ctx.schedule_activity(charge, order)
        class Steps:
            def __init__(self, ctx):
                self.ctx = ctx
            def ship(self, order):
                yield self.ctx.schedule_activity(charge, order)
        @registry.orchestration
        def fulfil(ctx, order):
            yield from pay(ctx, order)
            yield from ctx.join(pay(ctx, order), Steps(ctx).ship(order))
            later = pay(ctx, order)
            return (yield from later)
        """,
    ),
    Case(
        "DX212",
        "if not ctx.is_replaying",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            if not ctx.is_replaying:  #! DX212
                ctx.set_custom_status("first time")
            yield from ctx.schedule_activity(charge, order)
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            ctx.set_custom_status("first time, and shown once")
            yield from ctx.schedule_activity(charge, order)
        """,
    ),
    Case(
        "DX213",
        "join of a list",
        """
        @registry.orchestration
        def fulfil(ctx, orders):
            yield from ctx.join([ctx.schedule_activity(charge, order) for order in orders])  #! DX213
            yield from ctx.join(ctx.schedule_activity(charge, order) for order in orders)  #! DX213
            timers = [ctx.schedule_timer(1), ctx.schedule_timer(2)]
            yield from ctx.select(timers)  #! DX213
        """,
        """
        @registry.orchestration
        def fulfil(ctx, orders):
            yield from ctx.join(*[ctx.schedule_activity(charge, order) for order in orders])
            timers = [ctx.schedule_timer(1), ctx.schedule_timer(2)]
            yield from ctx.select(*timers)
        """,
    ),
    Case(
        "DX214",
        "the answer that was never waited for",
        """
        @registry.orchestration
        def fulfil(ctx, order):
            receipt = ctx.schedule_activity(charge, order)
            if not receipt:  #! DX214
                return
            ctx.set_custom_status(receipt.id)  #! DX214
            if ctx.schedule_wait("approved"):  #! DX214
                yield from ctx.schedule_activity(charge, receipt)  #! DX214
            winner = ctx.select(ctx.schedule_wait("a"), ctx.schedule_timer(9)).index  #! DX214
            ctx.set_custom_status(f"{receipt} {winner}")  #! DX214
        """,
        """
        @registry.orchestration
        def fulfil(ctx, order):
            receipt = ctx.schedule_activity(charge, order)
            reminder = None if order else ctx.schedule_timer(1)
            deadline = None
            if order:
                deadline = ctx.schedule_timer(2)
            if not receipt.is_done and reminder is not None:
                yield from reminder
            if reminder and deadline:
                yield from deadline
            receipt = yield from receipt
            ctx.set_custom_status(receipt.id)
            winner = yield from ctx.select(ctx.schedule_wait("a"), ctx.schedule_timer(9))
            ctx.set_custom_status(f"{receipt} {winner.index}")
        """,
    ),
)


#: Most of what one may do, done right.
CORRECT = dedent(
    """\
    from __future__ import annotations
    from dataclasses import dataclass, field
    from datetime import timedelta
    from enum import Enum
    import duroxide
    from duroxide import Registry, OrchestrationContext as OC, Orchestration as O, RetryPolicy, Exponential, Winner, ActivityFailed
    r = Registry()
    POLICY = RetryPolicy(max_attempts=3, backoff=Exponential(base=1))
    class State(Enum):
        A = "a"
        B = "b"
    @dataclass
    class In:
        items: list[str] = field(default_factory=list)
        tags: set[str] = field(default_factory=set)
        def first(self): return self.items[0]
    @r.activity
    def act(ctx, x: str) -> int: return 1
    @r.activity
    def listing(ctx) -> list[str]: return []
    def compensate(ctx: OC, stack: list[tuple[str, str]]) -> O[None]:
        while stack:
            name, arg = stack.pop()
            yield from ctx.schedule_activity(name, arg)
    @r.orchestration
    def saga(ctx: OC, inp: In) -> O[dict[str, int]]:
        stack: list[tuple[str, str]] = []
        out: dict[str, int] = {}
        try:
            for item in inp.items:
                out[item] = yield from ctx.schedule_activity(act, item, retry=POLICY)
                stack.append(("undo", item))
        except ActivityFailed as failure:
            yield from compensate(ctx, stack)
            raise RuntimeError(str(failure)) from failure
        if "x" in inp.tags and len(inp.tags) > 2:
            out.update(x=1)
        for tag in sorted(inp.tags): out[tag] = 1
        pages = yield from ctx.schedule_activity(listing)
        for page in pages: out.setdefault(page, 0)
        pending = {i: ctx.schedule_activity(act, i) for i in inp.items}
        results = {}
        while pending:
            keys = list(pending)
            w = yield ctx.select(*pending.values(), cancel_losers=False)
            results[keys[w.index]] = w.value
            del pending[keys[w.index]]
        n = ctx.get_kv_value("n") or 0
        ctx.set_kv_value("n", n + 1)
        a = yield from ctx.join(*[ctx.schedule_sub_orchestration(child, i) for i in inp.items], return_exceptions=True)
        errors = [x for x in a if isinstance(x, Exception)]
        if not errors and State.A.value == "a":
            yield from ctx.continue_as_new(inp)
        msgs = []
        for q in ("a", "b"):
            m = yield ctx.dequeue_event(q, type=str)
            msgs.append(m)
        t = ctx.schedule_timer(timedelta(seconds=5)); e = ctx.schedule_wait("go")
        match (yield from ctx.select(e, t)):
            case Winner(index=0, value=v): return v
        deadline = ctx.utc_now() + timedelta(days=1)
        while ctx.utc_now() < deadline:
            yield ctx.schedule_timer(60)
        return {k: out[k] for k in out}
    @r.orchestration
    def child(ctx: OC, i: str) -> O[int]:
        got = yield ctx.schedule_activity("x", i)
        return int(got)
    @r.orchestration
    def gen(ctx):
        return (yield ctx.schedule_timer(1))
    """
)
