"""Which instances a filter lets through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ...providers.management import (
    InstanceFilter,
)
from .checks import Checks
from .listing import COMPLETED, FAILED, all_pages, ids
from .populations import begin, end
from .vocabulary import (
    NOW,
)


#: Conditions, and whom they let through.
MATCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "order-1 order-2 order-2-child trip_1"),
    ({"ids": ["order-1", "nobody"]}, "order-1"),
    ({"ids": []}, ""),
    ({"statuses": [COMPLETED, FAILED]}, "order-1 order-2"),
    ({"statuses": ["Running"]}, "order-2-child trip_1"),
    ({"statuses": []}, ""),
    ({"orchestration_name": "travel"}, "trip_1"),
    ({"except_names": ["fulfil", "nothing"]}, "trip_1"),
    ({"except_names": []}, "order-1 order-2 order-2-child trip_1"),
    ({"except_names": ["travel"], "ids": ["order-1", "trip_1"]}, "order-1"),
    ({"except_names": ["travel"], "ids": []}, ""),
    ({"id_prefix": "order-"}, "order-1 order-2 order-2-child"),
    ({"id_prefix": "trip%"}, ""),
    ({"id_prefix": "ORDER"}, ""),
    ({"created_before": NOW + 1000}, "order-1"),
    ({"created_after": NOW + 2000}, "order-2-child trip_1"),
    ({"created_after": NOW + 1000, "created_before": NOW + 2000}, "order-2"),
    ({"updated_before": NOW + 10_000}, "order-2-child trip_1"),
    ({"updated_after": NOW + 10_000}, "order-1 order-2"),
    ({"completed_before": NOW + 10_000}, ""),
    ({"completed_before": NOW + 10_001}, "order-1 order-2"),
    ({"completed_after": NOW + 10_000}, "order-1 order-2"),
    ({"completed_after": NOW}, "order-1 order-2"),
    ({"roots_only": True}, "order-1 order-2 trip_1"),
    ({"parent": "order-2"}, "order-2-child"),
    ({"parent": "order-2", "roots_only": True}, ""),
    ({"ids": ["order-1", "order-2"], "statuses": ["Failed"], "id_prefix": "order"}, "order-2"),
]


class Filters(Checks):
    """Conditions on instances."""

    def four_instances(self) -> None:
        """Four instances, a second apart, of which the first two ended ten seconds after the start of all."""
        turns = []
        for instance_id, name in [("order-1", "fulfil"), ("order-2", "fulfil"), ("trip_1", "travel")]:
            turns.append(begin(self.provider, instance_id, name=name))
            self.clock.advance(1000)
        begin(self.provider, "order-2-child", parent="order-2")
        self.clock.ms = NOW + 10_000
        end(self.provider, turns[0])
        end(self.provider, turns[1], FAILED)

    def test_filter_matches(self) -> None:
        """Everything given must hold; before is exclusive, after inclusive."""
        self.four_instances()

        for conditions, expected in MATCHES:
            found = sorted(ids(self.client.list_instances(InstanceFilter(**conditions))))
            assert expected.split() == found, conditions

    def test_filter_pages(self) -> None:
        """A filter holds on every page."""
        self.four_instances()

        assert [["order-2-child"], ["order-2"], ["order-1"]] == all_pages(
            self.client, InstanceFilter(id_prefix="order"), 1
        )

    def test_filter_datetime(self) -> None:
        """A time is an aware datetime of any zone, or milliseconds."""
        self.four_instances()

        zone = datetime.fromtimestamp(NOW / 1000, UTC).astimezone().tzinfo
        time = datetime.fromtimestamp(NOW / 1000, zone) + timedelta(seconds=1)

        assert ["order-1"] == ids(self.client.list_instances(InstanceFilter(created_before=time)))
