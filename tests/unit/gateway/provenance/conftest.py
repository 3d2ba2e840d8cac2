"""One installation with a key, and the two processes that sign and read for it."""

from collections.abc import Iterator

import pytest
from tests.unit.gateway.provenance import certificates
from tests.unit.gateway.provenance.installation import Installation


@pytest.fixture(scope="session")
def root() -> certificates.Pair:
    return certificates.authority()


@pytest.fixture(scope="module")
def ours(root: certificates.Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation.of(tmp_path_factory.mktemp("ours"), certificates.issued(root), root) as made:
        yield made
