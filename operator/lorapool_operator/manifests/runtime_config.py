"""What the process of a runtime pod is told when it starts."""

from lorapool_api.kinds.pool import Pool
from lorapool_api.kinds.quantities import quantity_bytes
from lorapool_api.kinds.runtime import StubTimings
from lorapool_api.kinds.serving import Serving
from lorapool_api.wire.config import Budgets, RuntimeConfig, TrustedKeys
from lorapool_operator.manifests.path_roots import path_roots


def runtime_config(pool: Pool, url_hosts: tuple[str, ...], trusted: TrustedKeys) -> RuntimeConfig:
    runtime, adapters, paths = pool.spec.runtime, pool.spec.adapters, path_roots(pool.spec)
    return RuntimeConfig(
        pool=pool.key,
        model=pool.spec.model,
        engine=runtime.engine,
        device=runtime.device,
        stub=runtime.stub or StubTimings(),
        # Gateways alone honour it; told to the pods, a change of it would roll them out.
        serving=pool.spec.serving.model_copy(update={"prompt_loras": Serving().prompt_loras}),
        undeclared=adapters.undeclared,
        max_rank=adapters.max_rank,
        max_file_bytes=quantity_bytes(adapters.max_file_size),
        budgets=Budgets(
            device_bytes=quantity_bytes(adapters.device_budget) if adapters.device_budget else None,
            host_bytes=quantity_bytes(adapters.host_budget),
            disk_bytes=quantity_bytes(adapters.disk_budget) if adapters.disk_budget else None,
        ),
        trusted=trusted,
        path_roots=paths.roots,
        path_hidden=paths.hidden,
        url_hosts=url_hosts,
    )
