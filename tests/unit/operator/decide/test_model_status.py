"""What the status of a pool says of its base model."""

from tests.operator_hub import COMMIT
from tests.unit.operator import make as made
from tests.unit.operator.hub_base import pool, settled

from lorapool_api.kinds.conditions import Reason
from lorapool_api.kinds.pool import AdapterCounts
from lorapool_api.kinds.status.base import ModelStatus
from lorapool_operator.decide.pools.pool_status import pool_status
from lorapool_operator.seen.resolution import BaseResolution
from lorapool_operator.seen.verdict import Verdict


def test_a_base_that_pods_hold_is_not_replaced_when_its_commit_becomes_known_late() -> None:
    seen = made.seen(pool=pool(), base_resolution=BaseResolution())

    status = pool_status(pool(), seen, AdapterCounts())

    assert status.model is not None
    assert status.model.sources == settled(None).sources


def test_nothing_is_settled_while_the_pods_hold_the_base_of_before() -> None:
    rolling = made.deployment(generation=2, observed_generation=2, updated=0)
    status = pool_status(pool(), made.seen(pool=pool(), deployment=rolling), AdapterCounts())

    assert status.model is not None
    assert status.model.sources == ()


def test_the_commits_of_all_controls_find_room_in_a_status() -> None:
    controls = [{"name": f"c{i}", "source": {"hub": {"repo": f"them/control-{i}"}}} for i in range(8)]
    of_eight = made.pool(model={"source": {"hub": {"repo": "them/base"}}, "controls": controls})
    commits = {(f"them/control-{i}", "main"): COMMIT for i in range(8)}
    seen = made.seen(pool=of_eight, base_resolution=BaseResolution(commits=commits))
    status = pool_status(of_eight, seen, AdapterCounts())
    assert status.model is not None
    read = ModelStatus.model_validate(status.model.model_dump(mode="json"))
    assert {source.repo for source in read.sources} >= {repo for repo, _ in commits}


def test_the_pool_says_that_there_is_no_repository() -> None:
    problem = Verdict(Reason.SOURCE_NOT_FOUND, "there is no repository stabilityai/base, or it is private")
    seen = made.seen(pool=pool(), reports={}, base_resolution=BaseResolution(problem=problem))

    degraded = made.condition(pool_status(pool(), seen, AdapterCounts()).conditions, "Degraded")

    assert (degraded.status, degraded.reason) == ("True", Reason.SOURCE_NOT_FOUND)
    assert degraded.message == problem.message
