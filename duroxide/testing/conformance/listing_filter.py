"""XXX."""

from __future__ import annotations




class Filters(Checks):
    """XXX."""

    @pytest.fixture
    def stocked(self) -> Client:
        """Four instances, a second apart, of which the first two ended ten seconds after the start of all."""
        turns = []
        for instance_id, name in [("order-1", "fulfil"), ("order-2", "fulfil"), ("trip_1", "travel")]:
            turns.append(begin(self.provider, instance_id, name=name))
            self.clock.advance(1000)
        begin(self.provider, "order-2-child", parent="order-2")
        self.clock.ms = NOW + 10_000
        end(self.provider, turns[0])
        end(self.provider, turns[1], FAILED)
        return self.client

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ({}, "order-1 order-2 order-2-child trip_1"),
            ({"ids": ["order-1", "nobody"]}, "order-1"),
            ({"ids": []}, ""),
            ({"statuses": [COMPLETED, FAILED]}, "order-1 order-2"),
            ({"statuses": ["Running"]}, "order-2-child trip_1"),
            ({"statuses": []}, ""),
            ({"orchestration_name": "travel"}, "trip_1"),
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
        ],
    )
    def test_filter_matches(self, stocked: Client, conditions: dict[str, Any], expected: str) -> None:
        """Everything given must hold; before is exclusive, after inclusive."""
        assert expected.split() == sorted(ids(stocked.list_instances(InstanceFilter(**conditions))))

    def test_filter_pages(self, stocked: Client) -> None:
        """A filter holds on every page."""
        assert [["order-2-child"], ["order-2"], ["order-1"]] == all_pages(stocked, InstanceFilter(id_prefix="order"), 1)

    def test_filter_datetime(self, stocked: Client) -> None:
        """A time is an aware datetime of any zone, or milliseconds."""
        zone = datetime.fromtimestamp(NOW / 1000, UTC).astimezone().tzinfo
        time = datetime.fromtimestamp(NOW / 1000, zone) + timedelta(seconds=1)

        assert ["order-1"] == ids(stocked.list_instances(InstanceFilter(created_before=time)))
